package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// plan is what an operation with the header dry-run answers.
type plan struct {
	Changes profiles.ChangeSet `json:"changes"`
	Effect  string             `json:"effect"`
	Servers []struct {
		Host   string `json:"host"`
		Server string `json:"server"`
		Group  string `json:"group"`
		Effect string `json:"effect"`
	} `json:"servers"`
	Notes []string `json:"notes"`
}

// dryRun asks what an operation would do.
func (s *Session) dryRun(ctx context.Context, op profiles.Operation) (plan, client.Response, error) {
	headers := map[string]any{"dry-run": true}
	for name, value := range op.Headers {
		headers[name] = value
	}
	op.Headers = headers
	response, err := s.execute(ctx, op)
	var p plan
	if err == nil {
		err = into(response.Result, &p)
	}
	return p, response, err
}

// into reads a decoded result into a struct.
func into(value, to any) error {
	data, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		return problem.Internal.Errorf("cannot read the answer: %w", err)
	}
	return nil
}

func (s *Session) printPlan(p plan) {
	out := s.settings.Out
	for _, note := range p.Notes {
		fmt.Fprintln(out, "note: "+note)
	}
	if len(p.Changes) == 0 {
		fmt.Fprintln(out, "no change")
		return
	}
	fmt.Fprint(out, s.paintChanges(p.Changes.String()))
	for _, server := range p.Servers {
		fmt.Fprintf(out, "server %s/%s of %s: %s\n", server.Host, server.Server, server.Group, server.Effect)
	}
	fmt.Fprintf(out, "%d changes, %d servers concerned; effect: %s\n", len(p.Changes), len(p.Servers), p.Effect)
}

// plan shows what an operation would change before it is made.
func (s *Session) plan(ctx context.Context, text string) error {
	if text == "" {
		return problem.Invalid.Errorf("cannot plan nothing: want plan OPERATION")
	}
	op, err := s.parse(text)
	if err != nil {
		return err
	}
	if op.ReadOnly() {
		return problem.Invalid.Errorf("cannot plan %s: it changes nothing", op.Name)
	}
	p, response, err := s.dryRun(ctx, op)
	switch {
	case err != nil:
		return s.print(response, err)
	case s.settings.Format == JSON:
		return s.printJSON(response.Result)
	}
	s.printPlan(p)
	return nil
}

// configuration reads a TOML file for apply and diff.
func (s *Session) configuration(command string, flags map[string]string) (op profiles.Operation, err error) {
	file := flags["-f"]
	if file == "" {
		file = flags["--file"]
	}
	if file == "" {
		return op, problem.Invalid.Errorf("cannot use %s without a file: want %[1]s -f FILE", command)
	}
	data, err := os.ReadFile(s.path(file))
	if err != nil {
		return op, problem.Invalid.Errorf("cannot read the configuration: %w", err)
	}
	return profiles.Operation{Name: command, Params: map[string]any{"toml": string(data), "file": filepath.Base(file)}}, nil
}

// apply makes the domain equal to a file. The plan is printed first; what is
// then applied is held to the revision that the plan was made of.
func (s *Session) apply(ctx context.Context, arguments string) error {
	flags, _, err := options("apply", arguments, "-f=", "--file=", "--dry-run", "--comment=", "--rollout=")
	if err != nil {
		return err
	}
	op, err := s.configuration("apply", flags)
	if err != nil {
		return err
	}
	p, response, err := s.dryRun(ctx, op)
	if err != nil {
		return s.print(response, err)
	}
	asJSON := s.settings.Format == JSON
	if !asJSON {
		s.printPlan(p)
	}
	if has(flags, "--dry-run") || len(p.Changes) == 0 {
		if asJSON {
			return s.printJSON(response.Result)
		}
		return nil
	}
	op.Headers = map[string]any{}
	for _, name := range [...]string{"comment", "rollout"} {
		if value, ok := flags["--"+name]; ok {
			op.Headers[name] = value
		}
	}
	if response.Revision != 0 && s.settings.ExpectRevision == nil {
		op.Headers["expect-revision"] = int64(response.Revision)
	}
	response, err = s.execute(ctx, op)
	if err != nil || asJSON {
		return s.print(response, err)
	}
	fmt.Fprintf(s.settings.Out, "applied as revision %d\n", response.Revision)
	return nil
}

// diff compares the domain with a file, or two revisions. A difference from a
// file is exit code 5, so that a script notices drift.
func (s *Session) diff(ctx context.Context, arguments string) error {
	flags, rest, err := options("diff", arguments, "-f=", "--file=")
	if err != nil {
		return err
	}
	var op profiles.Operation
	if len(rest) > 0 {
		op, err = betweenRevisions(rest)
	} else {
		op, err = s.configuration("diff", flags)
	}
	if err != nil {
		return err
	}
	response, err := s.execute(ctx, op)
	if err != nil {
		return s.print(response, err)
	}
	var changes profiles.ChangeSet
	if err := into(response.Result, &changes); err != nil {
		return err
	}
	switch {
	case s.settings.Format == JSON:
		err = s.printJSON(response.Result)
	case len(changes) == 0:
		_, err = fmt.Fprintln(s.settings.Out, "no difference")
	default:
		_, err = fmt.Fprint(s.settings.Out, s.paintChanges(changes.String()))
	}
	if err == nil && len(rest) == 0 && len(changes) > 0 {
		return problem.Conflict.Errorf("the domain differs from the file: %d changes would make them equal", len(changes))
	}
	return err
}

func betweenRevisions(words []string) (profiles.Operation, error) {
	op := profiles.Operation{Name: "diff", Params: map[string]any{}}
	for i, name := range [...]string{"from", "to"} {
		if i >= len(words) {
			break
		}
		n, err := strconv.ParseInt(words[i], 10, 64)
		if err != nil || n < 0 {
			return op, problem.Invalid.Errorf("cannot compare revision %q: want its number", words[i])
		}
		op.Params[name] = n
	}
	return op, nil
}

// history lists revisions, a line each.
func (s *Session) history(ctx context.Context, count string) error {
	op := profiles.Operation{Name: "history", Params: map[string]any{}}
	if count != "" {
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil || n < 1 {
			return problem.Invalid.Errorf("cannot list %q revisions: want a number", count)
		}
		op.Params["limit"] = n
	}
	return s.printHistory(ctx, op)
}

// printHistory prints a line for each revision that an operation answers; all of
// each is there as JSON.
func (s *Session) printHistory(ctx context.Context, op profiles.Operation) error {
	response, err := s.execute(ctx, op)
	if err != nil || s.settings.Format == JSON {
		if err == nil {
			return s.printJSON(response.Result)
		}
		return s.print(response, err)
	}
	var revisions []struct {
		Revision uint64             `json:"revision"`
		Time     string             `json:"time"`
		Author   string             `json:"author"`
		Comment  string             `json:"comment"`
		Changes  profiles.ChangeSet `json:"changes"`
	}
	if err := into(response.Result, &revisions); err != nil {
		return err
	}
	for _, r := range revisions {
		what := r.Comment
		if what == "" && len(r.Changes) > 0 {
			what = r.Changes[0].String()
			if more := len(r.Changes) - 1; more > 0 {
				what += fmt.Sprintf(" (and %d more)", more)
			}
		}
		fmt.Fprintf(s.settings.Out, "%6d  %s  %-12s  %s\n", r.Revision, r.Time, r.Author, what)
	}
	return nil
}

// rollouts prints what the controller knows of its rollouts.
func (s *Session) rollouts(ctx context.Context, _ string) error {
	response, err := s.execute(ctx, profiles.Operation{Name: "rollouts"})
	if err != nil {
		return s.print(response, err)
	}
	return s.printValue(response.Result)
}

// logs prints the logs of the servers that a selection names: server-group=G,
// host=H or host=H server=S; none means all.
func (s *Session) logs(ctx context.Context, arguments string) error {
	flags, rest, err := options("logs", arguments, "--follow", "-f", "--lines=")
	if err != nil {
		return err
	}
	chosen := map[string]string{}
	for _, word := range rest {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name != "server-group" && name != "host" && name != "server" {
			return problem.Invalid.Errorf("cannot choose logs by %q: want server-group=NAME, host=NAME or server=NAME", word)
		}
		chosen[name] = value
	}
	if err := s.connected(ctx); err != nil {
		return err
	}
	servers, err := s.chosenServers(ctx, chosen)
	if err != nil {
		return err
	}
	params := map[string]any{"follow": has(flags, "--follow") || has(flags, "-f")}
	if text, ok := flags["--lines"]; ok {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return problem.Invalid.Errorf("cannot print %q lines: want a number", text)
		}
		params["lines"] = n
	}
	return s.readLogs(ctx, servers, params)
}

func describeChoice(chosen map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		parts = append(parts, name+"="+chosen[name])
	}
	return cmp.Or(strings.Join(parts, " "), "this domain")
}

// chosenServers gives the addresses of the running servers that a selection
// names.
func (s *Session) chosenServers(ctx context.Context, chosen map[string]string) ([]profiles.Address, error) {
	host, server := chosen["host"], chosen["server"]
	if host == "" {
		host = profiles.Wildcard
	}
	if server == "" {
		server = profiles.Wildcard
	}
	at := profiles.Address{{Type: "host", Name: host}, {Type: "server", Name: server}}
	if !at.HasWildcard() {
		return []profiles.Address{at}, nil
	}
	response, err := s.execute(ctx, profiles.Operation{Name: "read-resource", Address: at, Params: map[string]any{"include-runtime": true}})
	if err != nil {
		return nil, err
	}
	var found []struct {
		Address profiles.Address `json:"address"`
		Result  struct {
			Group string `json:"server-group"`
		} `json:"result"`
	}
	if err := into(response.Result, &found); err != nil {
		return nil, err
	}
	var list []profiles.Address
	for _, f := range found {
		if group := chosen["server-group"]; group == "" || group == f.Result.Group {
			list = append(list, f.Address)
		}
	}
	if len(list) == 0 {
		return nil, problem.NotFound.Errorf("cannot print logs: no server that runs is of %s", describeChoice(chosen))
	}
	return list, nil
}
