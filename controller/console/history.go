package console

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// revisionsShown is how many revisions a page of the history has.
const revisionsShown = 25

// revisionLine is one revision.
type revisionLine struct {
	Number    uint64             `json:"revision"`
	Time      time.Time          `json:"time"`
	Author    string             `json:"author"`
	Comment   string             `json:"comment"`
	Operation json.RawMessage    `json:"operation"`
	Changed   profiles.ChangeSet `json:"changes"`
}

// Page is where the revision is shown by itself.
func (r revisionLine) Page() string {
	return "/console/revision?" + url.Values{"number": {strconv.FormatUint(r.Number, 10)}}.Encode()
}

// Command is what made it, as the command line takes it.
func (r revisionLine) Command() string {
	var op profiles.Operation
	if len(r.Operation) == 0 || json.Unmarshal(r.Operation, &op) != nil {
		return ""
	}
	return maskedOperation(op).String()
}

// maskedOperation is an operation without its secrets, those among a provider's
// properties too.
func maskedOperation(op profiles.Operation) profiles.Operation {
	op = access.MaskOperation(op, profiles.Domain)
	for name, value := range op.Params {
		if d, err := profiles.Domain.Describe(op.Address); err == nil && value != access.Masked {
			attribute := name
			if written, ok := op.Params["name"].(string); ok && name == "value" {
				attribute = written
			}
			if a, ok := d.Attribute(attribute); ok {
				op.Params[name] = masked(a, value)
			}
		}
	}
	return op
}

// Lines are its changes, one a line, secrets masked.
func (r revisionLine) Lines() []string { return linesOf(r.Changed) }

type historyView struct {
	Revisions []revisionLine
	Newest    uint64
	Older     string // the page before; "" when there is none
	MayRevert bool
	From, To  string
	Diff      []string
	Compared  bool
}

// history lists the revisions, the newest first, and compares two of them.
func (c *Console) history(v *visit) {
	q := v.r.URL.Query()
	params := map[string]any{"limit": int64(revisionsShown)}
	if before, err := strconv.ParseInt(q.Get("before"), 10, 64); err == nil && before > 0 {
		params["before"] = before
	}
	h := historyView{MayRevert: v.may(nil, "revert", nil), From: q.Get("from"), To: q.Get("to")}
	var err error
	if h.Newest, err = v.read(nil, "history", params, &h.Revisions); err != nil {
		v.fail(err)
		return
	}
	if n := len(h.Revisions); n == revisionsShown && h.Revisions[n-1].Number > 1 {
		h.Older = "/console/history?before=" + strconv.FormatUint(h.Revisions[n-1].Number, 10)
	}
	if h.From != "" || h.To != "" {
		if h.Diff, err = v.compare(h.From, h.To); err != nil {
			v.fail(err)
			return
		}
		h.Compared = true
	}
	v.show("history.html", view{Title: "History", Section: "/console/history", Content: h})
}

func (v *visit) compare(from, to string) ([]string, error) {
	params := map[string]any{}
	for name, text := range map[string]string{"from": from, "to": to} {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return nil, problem.Invalid.Errorf("cannot compare with revision %q: want a number", text)
		}
		params[name] = n
	}
	var changes profiles.ChangeSet
	_, err := v.read(nil, "diff", params, &changes)
	return linesOf(changes), err
}

type revisionView struct {
	revisionLine
	Newest    bool
	MayRevert bool
}

// revision shows one revision.
func (c *Console) revision(v *visit) {
	number, err := strconv.ParseInt(v.r.URL.Query().Get("number"), 10, 64)
	if err != nil || number < 0 {
		v.fail(problem.NotFound.Errorf("cannot find revision %q: want a number", v.r.URL.Query().Get("number")))
		return
	}
	var list []revisionLine
	newest, err := v.read(nil, "history", map[string]any{"limit": int64(1), "before": number + 1}, &list)
	at := slices.IndexFunc(list, func(r revisionLine) bool { return r.Number == uint64(number) })
	if err == nil && at < 0 {
		err = problem.NotFound.Errorf("cannot find revision %d: the newest is %d", number, newest)
	}
	if err != nil {
		v.fail(err)
		return
	}
	v.show("revision.html", view{
		Title: "Revision " + strconv.FormatInt(number, 10), Section: "/console/history",
		Content: revisionView{list[at], newest == uint64(number), v.may(nil, "revert", nil)},
	})
}
