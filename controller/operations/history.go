package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// revision is one line of the history.
type revision struct {
	Revision  uint64             `json:"revision"`
	Time      time.Time          `json:"time"`
	Author    string             `json:"author"`
	Comment   string             `json:"comment,omitempty"`
	Operation json.RawMessage    `json:"operation,omitempty"`
	Changes   profiles.ChangeSet `json:"changes"`
}

// history lists revisions, the newest first: :history(limit=20, before=100).
func (d *Desk) history(_ context.Context, r request) (api.Response, error) {
	s, _ := d.replica.State()
	limit := int(r.number("limit", 20))
	before := uint64(r.number("before", 0))
	list := []revision{}
	all := s.History()
	for i := len(all) - 1; i >= 0 && len(list) < limit; i-- {
		if before > 0 && all[i].Number >= before {
			continue
		}
		cs, err := all[i].ChangeSet()
		if err != nil {
			return api.Response{}, err
		}
		list = append(list, revision{all[i].Number, all[i].Time, all[i].Author, all[i].Comment, all[i].Operation, cs})
	}
	return api.Response{Result: list, Revision: s.Revision()}, nil
}

// diff gives the changes between two revisions, or from the newest to a file:
// :diff(from=3, to=5), :diff(toml="...").
func (d *Desk) diff(_ context.Context, r request) (api.Response, error) {
	s, _ := d.replica.State()
	if text := r.text("toml"); text != "" {
		wanted, _, err := fileTree(s, r, text)
		if err != nil {
			return api.Response{}, err
		}
		return api.Response{Result: profiles.Diff(s.Tree(), wanted), Revision: s.Revision()}, nil
	}
	to := uint64(r.number("to", int64(s.Revision())))
	from := uint64(r.number("from", max(0, int64(to)-1)))
	cs, err := s.Diff(from, to)
	if cs == nil {
		cs = profiles.ChangeSet{}
	}
	return api.Response{Result: cs, Revision: s.Revision()}, err
}

// revert makes the model equal to an earlier revision, as a new one:
// :revert(to=3). Hosts that registered since stay: they are machines that run,
// and :remove-host is the way to be rid of one.
func (d *Desk) revert(ctx context.Context, r request) (api.Response, error) {
	to := r.number("to", -1)
	if to < 0 {
		return api.Response{}, problem.Invalid.Errorf("cannot revert: parameter to is missing (for example :revert(to=3))")
	}
	return d.change(ctx, r, func(s domain.State) (profiles.Tree, any, error) {
		tree, err := earlier(s, uint64(to))
		return tree, nil, err
	})
}

// earlier is the model of an earlier revision with the hosts that registered
// since.
func earlier(s domain.State, to uint64) (profiles.Tree, error) {
	tree, err := s.At(to)
	if err != nil {
		return tree, err
	}
	tree = keepHosts(tree, s.Tree(), func(host profiles.Address) bool { return !tree.Has(host) })
	if issues := tree.Check(); len(issues) > 0 {
		return tree, problem.WithHint(problem.Invalid.Errorf("cannot revert to revision %d: hosts that registered since do not fit to it: %s", to, issues[0]),
			"remove them first with :remove-host, or keep what they name")
	}
	return tree, nil
}

// keepHosts is tree with the hosts of now for which keep says so.
func keepHosts(tree, now profiles.Tree, keep func(host profiles.Address) bool) profiles.Tree {
	var hosts profiles.ChangeSet
	for _, c := range profiles.Diff(tree, now) {
		if len(c.Address) > 0 && c.Address[0].Type == "host" && keep(c.Address[:1]) {
			hosts = append(hosts, c)
		}
	}
	return hosts.Patch(tree)
}

// readTOML gives the model as a file: :read-config-as-toml(revision=3).
func (d *Desk) readTOML(_ context.Context, r request) (api.Response, error) {
	s, _ := d.replica.State()
	at := uint64(r.number("revision", int64(s.Revision())))
	tree, err := s.At(at)
	if err != nil {
		return api.Response{}, err
	}
	return api.Response{Result: string(profiles.EncodeTOML(tree)), Revision: at}, nil
}

// applyTOML makes the model equal to a file: :apply(toml="..."). With the header
// dry-run it gives the plan only.
func (d *Desk) applyTOML(ctx context.Context, r request) (api.Response, error) {
	text, err := r.required("toml", `"[profile...]"`)
	if err != nil {
		return api.Response{}, err
	}
	kept := 0
	response, err := d.change(ctx, r, func(s domain.State) (tree profiles.Tree, result any, err error) {
		if tree, kept, err = fileTree(s, r, text); err != nil {
			return tree, nil, err
		}
		return tree, profiles.Diff(s.Tree(), tree), nil
	})
	if p, dry := response.Result.(plan); dry && kept > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("the file says nothing of hosts: the %d of the domain are kept as they are", kept))
		response.Result = p
	}
	return response, err
}

// fileTree is the model that a file wants. A file that says nothing of hosts
// leaves them as they are, since their own files say what they are; kept is how
// many.
func fileTree(s domain.State, r request, text string) (tree profiles.Tree, kept int, err error) {
	file := r.text("file")
	if file == "" {
		file = "domain.toml"
	}
	tree, err = profiles.ParseTOML(file, []byte(text))
	if err != nil || len(tree.Names(nil, "host")) > 0 {
		return tree, 0, err
	}
	tree = keepHosts(tree, s.Tree(), func(profiles.Address) bool { return true })
	// The file is right in itself; with the hosts it need not be.
	if issues := tree.Check(); len(issues) > 0 {
		return tree, 0, problem.WithHint(problem.Invalid.Errorf("cannot apply %s: it says nothing of hosts, and the hosts of the domain do not fit to it: %s", file, issues[0]),
			"keep what hosts name, or change the hosts first")
	}
	return tree, len(tree.Names(nil, "host")), nil
}
