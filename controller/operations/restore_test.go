package operations

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// committed is the state after an operation; one that is refused or changes
// nothing makes no revision.
func committed(t interface{ Fatal(...any) }, s domain.State, op profiles.Operation) domain.State {
	_, changes, _, err := profiles.Apply(s.Tree(), op)
	if err != nil || len(changes) == 0 {
		return s
	}
	text, err := json.Marshal(changes)
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Commit(domain.Change{Base: s.Revision(), Time: time.Unix(0, 0), Author: "anna", Changes: text})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// anyStep draws an operation on a few names that refer to one another.
func anyStep(t *rapid.T) profiles.Operation {
	name := func(of string) string { return rapid.SampledFrom([]string{"a", "b"}).Draw(t, of) }
	at := rapid.SampledFrom([]profiles.Address{
		{{Type: "profile", Name: name("profile")}},
		{{Type: "socket-binding-group", Name: "s"}},
		{{Type: "interface", Name: "public"}},
		{{Type: "server-group", Name: name("group")}},
		{{Type: "host", Name: "h"}},
		{{Type: "host", Name: "h"}, {Type: "server-config", Name: name("server")}},
		{{Type: "profile", Name: name("profile")}, {Type: "subsystem", Name: "identity"}},
	}).Draw(t, "at")
	op := profiles.Operation{Name: rapid.SampledFrom([]string{"add", "add", "remove", "write"}).Draw(t, "operation"), Address: at, Params: map[string]any{}}
	params := map[string]map[string]any{
		"server-group":         {"profile": name("its profile"), "socket-binding-group": "s"},
		"server-config":        {"group": name("its group")},
		"socket-binding-group": {"default-interface": "public"},
		"interface":            {"inet-address": "127.0.0.1"},
		"subsystem":            {"web-context": name("context")},
	}[at.Last().Type]
	switch {
	case op.Name == "add":
		op.Params = params
	case op.Name == "write":
		op.Name = "write-attribute"
		for attribute, value := range params { // any of them
			op.Params = map[string]any{"name": attribute, "value": value}
		}
	}
	return op
}

func TestARestorationIsValidOrSaysWhyItCannotBe(t *testing.T) {
	refused := 0
	rapid.Check(t, func(t *rapid.T) {
		var s domain.State
		steps := func(most int, of string) {
			for range rapid.IntRange(0, most).Draw(t, of) {
				s = committed(t, s, anyStep(t))
			}
		}
		steps(20, "before")
		before := s.Revision()
		steps(3, "the rollout's")
		made := s.Revision()
		steps(8, "since")
		tree, _, err := withoutRevisions(s, before, made)
		if err != nil {
			refused++
			if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "does not fit to what was changed since: /") {
				t.Fatal(err)
			}
			return
		}
		if issues := tree.Check(); len(issues) > 0 {
			t.Fatalf("the restoration is not valid: %v", issues)
		}
		if made == before && len(profiles.Diff(s.Tree(), tree)) > 0 {
			t.Fatal("nothing was to be taken back")
		}
	})
	t.Log("refused", refused)
}

func TestARestorationThatWouldBreakTheDomainSaysWhatToDo(t *testing.T) {
	var s domain.State
	for _, op := range []profiles.Operation{
		{Name: "add", Address: profiles.Address{{Type: "interface", Name: "public"}}, Params: map[string]any{"inet-address": "127.0.0.1"}},
		{Name: "add", Address: profiles.Address{{Type: "socket-binding-group", Name: "s"}}, Params: map[string]any{"default-interface": "public"}},
		{Name: "add", Address: profiles.Address{{Type: "profile", Name: "new"}}},
		{Name: "add", Address: profiles.Address{{Type: "server-group", Name: "g"}}, Params: map[string]any{"profile": "new", "socket-binding-group": "s"}},
	} {
		s = committed(t, s, op)
	}
	if s.Revision() != 4 {
		t.Fatal("revision ", s.Revision())
	}
	_, _, err := withoutRevisions(s, 2, 3)
	if err == nil || !strings.Contains(err.Error(), "/server-group=g") {
		t.Fatalf("the profile of a group was taken away: %v", err)
	}
}
