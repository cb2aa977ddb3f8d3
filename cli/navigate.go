package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/cli/dmr"
	"github.com/gatehouse-idp/gatehouse/cli/lang"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// address reads an address relative to the current node.
func (s *Session) address(text string) (profiles.Address, error) {
	a, err := lang.ParseAddress(text, s.node)
	return a, pointed(err)
}

func (s *Session) cd(ctx context.Context, text string) error {
	if text == "" {
		return s.pwd(ctx, "")
	}
	node, err := s.address(text)
	if err != nil {
		return err
	}
	if len(node) > 0 {
		_, err := s.execute(ctx, profiles.Operation{Name: "read-children-types", Address: node})
		if err != nil {
			return err
		}
	}
	s.node = node
	return nil
}

func (s *Session) pwd(context.Context, string) error {
	_, err := fmt.Fprintln(s.settings.Out, s.node)
	return err
}

// ls lists child types and attributes of a node, or the names of a child type.
func (s *Session) ls(ctx context.Context, arguments string) error {
	flags, rest, err := options("ls", arguments, "-l")
	if err != nil {
		return err
	}
	node, childType := s.node, ""
	if len(rest) > 0 {
		where := rest[0]
		last := where[strings.LastIndex(where, "/")+1:]
		if last != "" && last != ".." && last != "." && !strings.Contains(last, "=") {
			childType, where = last, strings.TrimSuffix(where, last)
		}
		if node, err = s.address(where); err != nil {
			return err
		}
	}
	if childType != "" {
		return s.listNames(ctx, node, childType, has(flags, "-l"))
	}
	return s.listNode(ctx, node, has(flags, "-l"))
}

func (s *Session) listNames(ctx context.Context, node profiles.Address, childType string, long bool) error {
	response, err := s.execute(ctx, profiles.Operation{
		Name: "read-children-names", Address: node, Params: map[string]any{"child-type": childType},
	})
	if err != nil {
		return err
	}
	names, _ := response.Result.([]any)
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = fmt.Sprint(n)
	}
	s.printList(list, long)
	return nil
}

func (s *Session) listNode(ctx context.Context, node profiles.Address, long bool) error {
	response, err := s.execute(ctx, profiles.Operation{
		Name: "read-resource", Address: node, Params: map[string]any{"include-defaults": true, "include-runtime": true},
	})
	if err != nil {
		return err
	}
	types, err := s.execute(ctx, profiles.Operation{Name: "read-children-types", Address: node})
	if err != nil {
		return err
	}
	children := map[string]bool{}
	list := []string{}
	if names, ok := types.Result.([]any); ok {
		for _, n := range names {
			children[fmt.Sprint(n)] = true
			list = append(list, fmt.Sprint(n))
		}
	}
	members, _ := response.Result.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !children[name] {
			list = append(list, name+"="+oneLine(members[name]))
		}
	}
	s.printList(list, long)
	return nil
}

// oneLine prints a value for a list: a string without quotes.
func oneLine(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	return strings.Join(strings.Fields(dmr.String(value)), " ")
}

// printList prints entries one a line with long, beside each other otherwise.
func (s *Session) printList(list []string, long bool) {
	if s.settings.Format == JSON {
		s.printJSON(list)
		return
	}
	const width = 100 // columns of text, a terminal's usual width and some
	widest := 0
	for _, entry := range list {
		widest = max(widest, len([]rune(entry))+2)
	}
	columns := max(1, width/max(1, widest))
	if long {
		columns = 1
	}
	for i, entry := range list {
		if (i+1)%columns == 0 || i == len(list)-1 {
			fmt.Fprintln(s.settings.Out, entry)
			continue
		}
		fmt.Fprintf(s.settings.Out, "%-*s", widest, entry)
	}
}

// nodeFlag gives the node of --node=ADDRESS.
func (s *Session) nodeFlag(flags map[string]string) (profiles.Address, error) {
	if text, ok := flags["--node"]; ok {
		return s.address(text)
	}
	return s.node, nil
}

func (s *Session) readAttribute(ctx context.Context, arguments string) error {
	flags, rest, err := options("read-attribute", arguments, "--node=", "-v", "--verbose", "--include-defaults=", "--resolve-expressions=")
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return problem.Invalid.Errorf("cannot use read-attribute without one attribute's name")
	}
	node, err := s.nodeFlag(flags)
	if err != nil {
		return err
	}
	response, err := s.execute(ctx, profiles.Operation{Name: "read-attribute", Address: node, Params: map[string]any{"name": rest[0]}})
	if err != nil {
		return err
	}
	return s.printValue(response.Result)
}

func (s *Session) readOperation(ctx context.Context, arguments string) error {
	flags, rest, err := options("read-operation", arguments, "--node=")
	if err != nil {
		return err
	}
	node, err := s.nodeFlag(flags)
	if err != nil {
		return err
	}
	op := profiles.Operation{Name: "read-operation-names", Address: node}
	if len(rest) > 0 {
		op.Name, op.Params = "read-operation-description", map[string]any{"name": rest[0]}
	}
	response, err := s.execute(ctx, op)
	if err != nil {
		return err
	}
	if names, ok := response.Result.([]any); ok {
		for _, n := range names {
			fmt.Fprintln(s.settings.Out, n)
		}
		return nil
	}
	return s.printValue(response.Result)
}
