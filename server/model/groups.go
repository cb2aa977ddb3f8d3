package model

import "strings"

// Groups is the tree of a realm's groups.
type Groups struct {
	byID     map[string]*Group
	byPath   map[string]*Group
	children map[string][]*Group
}

// NewGroups makes the tree. Groups whose parent is missing, or that are in each
// other, are in the tree without a path.
func NewGroups(groups []*Group) *Groups {
	t := &Groups{byID: map[string]*Group{}, byPath: map[string]*Group{}, children: map[string][]*Group{}}
	for _, g := range groups {
		t.byID[g.ID] = g
		t.children[g.Parent] = append(t.children[g.Parent], g)
	}
	for _, g := range groups {
		if path := t.Path(g.ID); path != "" {
			t.byPath[path] = g
		}
	}
	return t
}

// Group is the group with that id, nil if there is none.
func (t *Groups) Group(id string) *Group { return t.byID[id] }

// ByPath is the group at a path such as "/company/sales", nil if there is none.
// A group whose name contains a slash has it as "~/" in its path, as of
// Keycloak 23, or plain, as before.
func (t *Groups) ByPath(path string) *Group {
	if g := t.byPath[path]; g != nil {
		return g
	}
	if g := t.byPath["/"+path]; g != nil {
		return g
	}
	return t.walk("", strings.TrimPrefix(path, "/"))
}

// walk finds a path whose names may contain plain slashes.
func (t *Groups) walk(parent, rest string) *Group {
	for _, g := range t.children[parent] {
		if g.Name == rest {
			return g
		}
		if under, ok := strings.CutPrefix(rest, g.Name+"/"); ok {
			if found := t.walk(g.ID, under); found != nil {
				return found
			}
		}
	}
	return nil
}

// Children are the groups directly in the group with that id; "" is the top.
func (t *Groups) Children(id string) []*Group { return t.children[id] }

// Path is the group's path, "" if it has none.
func (t *Groups) Path(id string) string {
	path := ""
	for depth := 0; id != ""; depth++ {
		g := t.byID[id]
		if g == nil || depth > len(t.byID) {
			return ""
		}
		path = "/" + strings.ReplaceAll(g.Name, "/", "~/") + path
		id = g.Parent
	}
	return path
}

// Subtree is the group and all that are in it.
func (t *Groups) Subtree(id string) []*Group {
	seen := map[string]bool{}
	var all []*Group
	for queue := []string{id}; len(queue) > 0; queue = queue[1:] {
		g := t.byID[queue[0]]
		if g == nil || seen[g.ID] {
			continue
		}
		seen[g.ID] = true
		all = append(all, g)
		for _, child := range t.children[g.ID] {
			queue = append(queue, child.ID)
		}
	}
	return all
}
