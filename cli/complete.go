package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Candidate is one completion of a word.
type Candidate struct {
	Text string // the word's whole new text
	Note string // what it is, for display
}

// Complete gives the completions of a line's end: start is where the word
// begins that they replace. It asks the target, so that what is offered is
// valid there; failures offer nothing.
func (s *Session) Complete(ctx context.Context, line string) (start int, candidates []Candidate) {
	begin := 0
	if word, _, isCommand := strings.Cut(line, " "); isCommand {
		if _, known := commandNamed(word); known || word == "if" || word == "for" {
			begin = operand(line)
		}
	}
	text := line[begin:]
	if open := strings.IndexByte(text, '('); open >= 0 {
		return s.completeParameter(ctx, line, begin, begin+open)
	}
	if colon := colonOf(text); colon >= 0 {
		at, err := s.address(text[:colon])
		if err != nil {
			return 0, nil
		}
		word := text[colon+1:]
		return begin + colon + 1, filtered(word, s.askNames(ctx, profiles.Operation{Name: "read-operation-names", Address: at}), "", "")
	}
	start, candidates = s.completeAddress(ctx, text, begin)
	if begin == 0 && !strings.ContainsAny(text, "/=:") {
		for _, c := range commands() {
			if strings.HasPrefix(c.name, text) {
				candidates = append(candidates, Candidate{c.name, c.text})
			}
		}
	}
	return start, candidates
}

// operand is where the address of a command's argument begins.
func operand(line string) int {
	for _, word := range [...]string{" of ", " in "} {
		if i := strings.LastIndex(line, word); i >= 0 {
			return i + len(word)
		}
	}
	return strings.LastIndexByte(line, ' ') + 1
}

// colonOf finds the colon that ends the address, outside quotes.
func colonOf(text string) int {
	quoted := false
	for i := range len(text) {
		switch text[i] {
		case '"':
			quoted = !quoted
		case ':':
			if !quoted {
				return i
			}
		}
	}
	return -1
}

// completeAddress offers child types, then names.
func (s *Session) completeAddress(ctx context.Context, text string, begin int) (int, []Candidate) {
	slash := strings.LastIndexByte(text, '/')
	parent, err := s.address(text[:slash+1])
	if err != nil {
		return 0, nil
	}
	word := text[slash+1:]
	childType, name, named := strings.Cut(word, "=")
	start := begin + slash + 1
	if !named {
		types := s.askNames(ctx, profiles.Operation{Name: "read-children-types", Address: parent})
		return start, filtered(word, types, "", "=")
	}
	names := s.askNames(ctx, profiles.Operation{
		Name: "read-children-names", Address: parent, Params: map[string]any{"child-type": childType},
	})
	return start + len(childType) + 1, filtered(name, names, "", "")
}

// completeParameter offers the parameters of an operation, and attribute names
// for the parameter name of those that read or write an attribute.
func (s *Session) completeParameter(ctx context.Context, line string, begin, open int) (int, []Candidate) {
	head := line[begin:open]
	colon := colonOf(head)
	if colon < 0 {
		return 0, nil
	}
	at, err := s.address(head[:colon])
	if err != nil {
		return 0, nil
	}
	start := open + 1
	if comma := strings.LastIndexByte(line, ','); comma > open {
		start = comma + 1
	}
	for start < len(line) && line[start] == ' ' {
		start++
	}
	word := line[start:]
	if value, ok := strings.CutPrefix(word, "name="); ok {
		attributes := s.describe(ctx, profiles.Operation{Name: "read-resource-description", Address: at}, "attributes")
		return start + len("name="), filteredNotes(value, attributes, "")
	}
	if value, ok := strings.CutPrefix(word, "child-type="); ok {
		return start + len("child-type="), filtered(value, s.askNames(ctx, profiles.Operation{Name: "read-children-types", Address: at}), "", "")
	}
	parameters := s.describe(ctx, profiles.Operation{
		Name: "read-operation-description", Address: at, Params: map[string]any{"name": head[colon+1:]},
	}, "request-properties")
	return start, filteredNotes(word, parameters, "=")
}

// askNames runs a read whose result is a list of names.
func (s *Session) askNames(ctx context.Context, op profiles.Operation) []string {
	response, err := s.execute(ctx, op)
	list, ok := response.Result.([]any)
	if err != nil || !ok {
		return nil
	}
	names := make([]string, len(list))
	for i, name := range list {
		names[i] = fmt.Sprint(name)
	}
	return names
}

// describe gives a member of a description: names with their texts.
func (s *Session) describe(ctx context.Context, op profiles.Operation, member string) map[string]string {
	response, err := s.execute(ctx, op)
	result, ok := response.Result.(map[string]any)
	if err != nil || !ok {
		return nil
	}
	members, _ := result[member].(map[string]any)
	notes := make(map[string]string, len(members))
	for name, value := range members {
		about, _ := value.(map[string]any)
		notes[name], _ = about["description"].(string)
	}
	return notes
}

func filtered(prefix string, names []string, note, suffix string) []Candidate {
	var list []Candidate
	for _, name := range names {
		if name != profiles.Wildcard && strings.HasPrefix(name, prefix) {
			list = append(list, Candidate{name + suffix, note})
		}
	}
	return list
}

func filteredNotes(prefix string, notes map[string]string, suffix string) []Candidate {
	var list []Candidate
	for _, name := range slices.Sorted(maps.Keys(notes)) {
		if strings.HasPrefix(name, prefix) {
			list = append(list, Candidate{name + suffix, notes[name]})
		}
	}
	return list
}
