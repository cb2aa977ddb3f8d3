package authentication

import (
	"net/http/httptest"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/rs/zerolog"
)

// fixed is an execution that always returns the same.
type fixed struct{ status Status }

func (fixed) NeedsUser() bool                    { return false }
func (fixed) Configured(*Step, *model.User) bool { return true }
func (f fixed) Begin(*Step) Result               { return Result{Status: f.status, Page: "x"} }
func (f fixed) Submit(*Step) Result              { return Result{Status: f.status} }

type held bool

func (h held) Holds(*Step, []*node) (bool, error) { return bool(h), nil }

func testStep(t testing.TB) *Step {
	p := &Processor{Config: Config{Log: zerolog.Nop()}, executors: map[string]Executor{
		"yes": fixed{Success}, "no": fixed{Failed}, "ask": fixed{Ask}, "skip": fixed{Attempted},
	}, conditions: map[string]Condition{"if": held(true), "unless": held(false)}, actions: actions()}
	l := &sessions.Login{Realm: &model.Realm{ID: "r", Name: "r"}, Client: &model.Client{}, Root: &model.AuthenticationSession{}, Tab: &model.AuthenticationTab{}}
	return p.step(nil, httptest.NewRequest("GET", "/", nil), l)
}

// run is an execution of a test flow: its provider and requirement, or a flow.
func run(provider, requirement string) *node {
	return &node{id: provider + requirement, provider: provider, requirement: requirement}
}

func sub(requirement string, children ...*node) *node {
	return &node{id: "flow", isFlow: true, requirement: requirement, children: children}
}

// The rules are those of Keycloak 26's server administration guide, "Creating
// flows", and of its DefaultAuthenticationFlow.
func TestFlowSemantics(t *testing.T) {
	const R, A, C = required, alternative, conditional
	for _, c := range []struct {
		name string
		flow *node
		want string // ok, fail, ask or error
	}{
		{"all required succeed", sub(R, run("yes", R), run("yes", R)), "ok"},
		{"one required fails", sub(R, run("yes", R), run("no", R)), "error"},
		{"a required one asks", sub(R, run("yes", R), run("ask", R), run("no", R)), "ask"},
		{"a required one that does not apply fails", sub(R, run("skip", R)), "error"},
		{"the first alternative that succeeds is enough", sub(R, run("skip", A), run("yes", A), run("ask", A)), "ok"},
		{"an alternative that fails gives way to the next", sub(R, run("no", A), run("ask", A)), "ask"},
		{"no alternative succeeds", sub(R, run("skip", A), run("skip", A)), "fail"},
		{"alternatives beside required ones do not count", sub(R, run("yes", A), run("ask", R)), "ask"},
		{"a failing alternative beside a required one does not matter", sub(R, run("no", A), run("yes", R)), "ok"},
		{"a conditional flow runs when its condition holds", sub(R, run("yes", R), sub(C, run("if", R), run("ask", R))), "ask"},
		{"a conditional flow is skipped when its condition does not hold", sub(R, run("yes", R), sub(C, run("unless", R), run("no", R))), "ok"},
		{"all conditions must hold", sub(R, run("yes", R), sub(C, run("if", R), run("unless", R), run("no", R))), "ok"},
		{"a conditional flow without a condition never runs", sub(R, run("yes", R), sub(C, run("no", R))), "ok"},
		{"a flow of nothing but skipped ones has not succeeded", sub(R, sub(C, run("unless", R), run("yes", R))), "fail"},
		{"the organization step of 26 falls through to the forms", sub(R, sub(A, sub(C, run("unless", R), run("ask", A))), sub(A, run("ask", R))), "ask"},
		{"a sub-flow counts as one", sub(R, sub(A, run("skip", A)), sub(A, run("yes", R), run("yes", R))), "ok"},
		{"an empty flow has not succeeded", sub(R), "fail"},
		{"an unknown required execution refuses", sub(R, run("yes", R), run("acme", R)), "error"},
		{"an unknown alternative is passed over", sub(R, run("acme", A), run("yes", A)), "ok"},
		{"an unknown condition refuses", sub(R, run("yes", R), sub(C, run("conditional-acme", R), run("yes", R))), "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ok, challenge, err := testStep(t).flow(c.flow)
			got := map[bool]string{true: "ok", false: "fail"}[ok]
			switch {
			case err != nil:
				got = "error"
			case challenge != nil:
				got = "ask"
			}
			if got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
		})
	}
}

// Whatever the flow: nobody is in who passed no execution, and a required
// failure beside or above is never made up for.
func TestNoFlowSucceedsWithoutASuccess(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var draw func(depth int) *node
		draw = func(depth int) *node {
			requirement := rapid.SampledFrom([]string{required, alternative, conditional}).Draw(rt, "requirement")
			if depth > 0 && rapid.Bool().Draw(rt, "flow") {
				n := sub(requirement)
				n.id = rapid.StringN(12, 12, -1).Draw(rt, "id")
				for range rapid.IntRange(0, 4).Draw(rt, "children") {
					n.children = append(n.children, draw(depth-1))
				}
				return n
			}
			return run(rapid.SampledFrom([]string{"no", "skip", "if", "unless", "acme"}).Draw(rt, "provider"), requirement)
		}
		root := sub(required, draw(3), draw(3))
		if ok, c, _ := testStep(t).flow(root); ok || c != nil {
			rt.Fatalf("succeeded without a success")
		}
	})
}

func TestASuccessIsKeptInTheTab(t *testing.T) {
	s := testStep(t)
	flow := sub(required, run("yes", required), run("ask", required))
	if _, c, err := s.flow(flow); c == nil || err != nil {
		t.Fatal(c, err)
	}
	s.p.executors["yes"] = fixed{Failed} // it must not be asked again
	s.login.Tab.ExecutionStatus["askREQUIRED"] = done
	if ok, _, err := s.flow(flow); !ok || err != nil {
		t.Error(ok, err)
	}
}

func TestAFlowThatContainsItselfIsRefused(t *testing.T) {
	b := builder{realm: &model.Realm{Name: "r"}, flow: func(alias string) (*model.Flow, error) {
		if alias != "a" {
			return nil, problem.NotFound.Errorf("no flow %q", alias)
		}
		return &model.Flow{ID: "a", Alias: "a", Executions: []model.Execution{{AuthenticatorFlow: true, FlowAlias: "a", Requirement: required}}}, nil
	}}
	if _, err := b.children("a", 0); !problem.Is(err, problem.Invalid) {
		t.Error(err)
	}
	if _, err := b.children("gone", 0); !problem.Is(err, problem.Invalid) {
		t.Error(err)
	}
}
