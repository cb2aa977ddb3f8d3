package console

import (
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// link is a place to go, with its text.
type link struct{ Text, To string }

// browse is where an address of the configuration is shown.
func browse(at profiles.Address) string { return pageAt("/console/configuration", at) }

func pageAt(page string, at profiles.Address, more ...string) string {
	q := url.Values{"at": {at.String()}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return page + "?" + q.Encode()
}

// resource is one place of the configuration, with its description.
type resource struct {
	at          profiles.Address
	description *profiles.Description
	attributes  map[string]any // as they are set
}

// resourceView shows one resource: where it is, its attributes, what is below.
type resourceView struct {
	Address    string
	Text       string
	Path       []link
	Attributes []attributeLine
	Children   []childLine
	Removable  bool
}

type attributeLine struct {
	*profiles.Attribute
	Set   bool
	Value string // masked when it is sensitive
	Edit  string // where it is changed; "" when the caller may not
}

type childLine struct {
	Type  string
	Names []link
	Add   string // where one is added; "" when the caller may not
}

// configuration shows one resource of the configuration.
func (c *Console) configuration(v *visit) {
	r, err := v.resourceOf(v.r.URL.Query().Get("at"))
	if err != nil {
		v.fail(err)
		return
	}
	page := resourceView{Address: r.at.String(), Text: r.description.Text, Path: pathTo(r.at)}
	for i := range r.description.Attributes {
		page.Attributes = append(page.Attributes, v.attributeLine(r, &r.description.Attributes[i]))
	}
	for _, typ := range r.description.ChildTypes() {
		line, err := v.childLine(r, typ)
		if err != nil {
			v.fail(err)
			return
		}
		if len(line.Names) > 0 || line.Add != "" {
			page.Children = append(page.Children, line)
		}
	}
	page.Removable = len(r.at) > 0 && v.may(r.at, "remove", nil)
	v.show("configuration.html", view{Title: titleOf(r.at), Section: "/console/configuration", Content: page})
}

func titleOf(at profiles.Address) string {
	if len(at) == 0 {
		return "Configuration"
	}
	return at.Last().Type + " " + at.Last().Name
}

// resourceOf reads the resource at an address, if the caller may see it.
func (v *visit) resourceOf(address string) (resource, error) {
	at, err := profiles.ParseAddress(address)
	if err != nil {
		return resource{}, err
	}
	if at.HasWildcard() {
		return resource{}, problem.Invalid.Errorf("cannot show %s: it names more than one resource", at)
	}
	r := resource{at: at}
	if r.description, err = profiles.Domain.Describe(at); err != nil {
		return r, err
	}
	var members map[string]any
	if _, err := v.read(at, "read-resource", map[string]any{"include-defaults": false}, &members); err != nil {
		return r, err
	}
	r.attributes = map[string]any{}
	for name, member := range members {
		if _, ok := r.description.Attribute(name); ok && member != nil {
			if r.attributes[name], err = profiles.Normalize(member); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

func pathTo(at profiles.Address) []link {
	path := []link{{"domain", browse(nil)}}
	for i, e := range at {
		path = append(path, link{e.Type + "=" + e.Name, browse(at[:i+1])})
	}
	return path
}

func (v *visit) attributeLine(r resource, a *profiles.Attribute) attributeLine {
	line := attributeLine{Attribute: a}
	value, set := r.attributes[a.Name]
	line.Set = set
	switch {
	case set:
		line.Value = profiles.Format(masked(a, value))
	case a.Default != nil:
		line.Value = profiles.Format(masked(a, a.Default))
	}
	if v.may(r.at, "write-attribute", map[string]any{"name": a.Name}) {
		line.Edit = pageAt("/console/configuration/edit", r.at, "name", a.Name)
	}
	return line
}

// childLine lists the children of a type that are in the configuration.
func (v *visit) childLine(r resource, typ string) (childLine, error) {
	line := childLine{Type: typ}
	child, ok := r.description.Child(typ, profiles.Wildcard)
	if !ok || child.Runtime {
		return line, nil
	}
	var names []string
	if _, err := v.read(r.at, "read-children-names", map[string]any{"child-type": typ}, &names); err != nil {
		return line, err
	}
	slices.Sort(names)
	for _, name := range names {
		line.Names = append(line.Names, link{name, browse(r.at.Child(typ, name))})
	}
	free := slices.ContainsFunc(addable(r.description, typ), func(name string) bool {
		return !slices.Contains(names, name) && v.may(r.at.Child(typ, strings.ReplaceAll(name, profiles.Wildcard, "new")), "add", nil)
	})
	if free {
		line.Add = pageAt("/console/configuration/add", r.at, "type", typ)
	}
	return line, nil
}

// addable lists the names that children of a type can be added with; the
// wildcard stands for any.
func addable(d *profiles.Description, typ string) []string {
	var names []string
	for _, c := range d.Children {
		if c.Type == typ && !c.Runtime {
			names = append(names, c.Name)
		}
	}
	return names
}

type editView struct {
	Address, Browse string
	Field           field
	Set             bool
	Comment         string
}

// edit shows the form of one attribute.
func (c *Console) edit(v *visit) { v.showEdit(v.r.URL.Query(), nil) }

// showEdit shows the form of the attribute that an address names, or a form that
// was refused, as it was filled in.
func (v *visit) showEdit(q url.Values, wrong error) {
	r, err := v.resourceOf(q.Get("at"))
	if err != nil {
		v.fail(err)
		return
	}
	a, ok := r.description.Attribute(q.Get("name"))
	if !ok {
		v.fail(problem.NotFound.Errorf("cannot find attribute %q of %s: there is none of that name", q.Get("name"), r.at))
		return
	}
	value, set := r.attributes[a.Name]
	page := editView{Address: r.at.String(), Browse: browse(r.at), Field: fieldOf(a, value).refilled(q), Set: set, Comment: q.Get("comment")}
	v.showAs(statusOf(wrong), "edit.html", view{Title: a.Name, Section: "/console/configuration", Content: page}.wrong(wrong))
}

type addView struct {
	Address, Browse, Type string
	Names                 []string // the only ones possible; nil: any
	Name                  string
	Fixed                 bool // the name is given
	Text, Comment         string
	Required, Further     []field
}

// add shows the form of a new resource; where several descriptions hold for a
// type, their names are offered first.
func (c *Console) add(v *visit) { v.showAdd(v.r.URL.Query(), nil) }

// showAdd shows the form of a new resource, or one that was refused, as it was
// filled in.
func (v *visit) showAdd(q url.Values, wrong error) {
	r, err := v.resourceOf(q.Get("at"))
	if err != nil {
		v.fail(err)
		return
	}
	typ, name := q.Get("type"), q.Get("name")
	child, ok := r.description.Child(typ, profiles.Wildcard)
	if name != "" {
		child, ok = r.description.Child(typ, name)
	}
	if !ok {
		v.fail(problem.NotFound.Errorf("cannot add a %s %q to %s: its children are of the types %s", typ, name, r.at, strings.Join(r.description.ChildTypes(), ", ")))
		return
	}
	page := addView{Address: r.at.String(), Browse: browse(r.at), Type: typ, Name: name, Text: child.Text, Comment: q.Get("comment")}
	names := addable(r.description, typ)
	if !slices.Contains(names, profiles.Wildcard) {
		page.Names, page.Fixed = names, name != ""
	}
	if len(names) == 1 && page.Names != nil {
		page.Name, page.Fixed = names[0], true
	}
	for i := range child.Attributes {
		f := fieldOf(&child.Attributes[i], nil).refilled(q)
		if f.Required {
			page.Required = append(page.Required, f)
		} else {
			page.Further = append(page.Further, f)
		}
	}
	v.showAs(statusOf(wrong), "add.html", view{Title: "Add a " + typ, Section: "/console/configuration", Content: page}.wrong(wrong))
}
