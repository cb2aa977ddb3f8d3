package authentication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// The requirements of executions.
const (
	required    = "REQUIRED"
	alternative = "ALTERNATIVE"
	conditional = "CONDITIONAL"
	disabled    = "DISABLED"
	optional    = "OPTIONAL" // before Keycloak 8: asked of those who have it set up
)

// maxDepth stops flows that contain themselves.
const maxDepth = 16

// node is an execution of a flow, with the executions of the flow it names.
type node struct {
	id          string
	provider    string // of an authenticator; "" for a flow
	requirement string
	config      map[string]string
	children    []*node
	isFlow      bool
}

// Executor is one way to prove who one is. It never calls another; the
// Processor calls it.
type Executor interface {
	// NeedsUser reports whether a step before must have said who logs in.
	NeedsUser() bool
	// Configured reports whether the user has what the execution asks for.
	Configured(s *Step, u *model.User) bool
	// Begin looks at the request without a form: usually it asks.
	Begin(s *Step) Result
	// Submit takes the form of the page that Begin asked with.
	Submit(s *Step) Result
}

// Condition decides whether the CONDITIONAL flow it stands in runs.
type Condition interface {
	// Holds looks at the login so far; siblings are the executions beside it.
	Holds(s *Step, siblings []*node) (bool, error)
}

// done is the status of an execution that succeeded, in the tab.
const done = "SUCCESS"

// bindings are the purposes of flows: Keycloak's name of the flow where the
// realm names none.
var bindings = map[string]string{"browser": "browser", "direct_grant": "direct grant"}

// tree reads a realm's flow for a purpose, with the client's own choice before
// the realm's. Only the flows it is made of are read.
func (p *Processor) tree(ctx context.Context, realm *model.Realm, client *model.Client, purpose string) (*node, error) {
	alias := map[string]string{"browser": realm.BrowserFlow, "direct_grant": realm.DirectGrantFlow}[purpose]
	if alias == "" {
		alias = bindings[purpose]
	}
	root := &node{isFlow: true, requirement: required}
	err := p.Store.View(ctx, func(tx storage.Tx) error {
		if own := client.AuthenticationFlowBindingOverrides[purpose]; own != "" {
			f, err := tx.Flows.Get(ctx, realm.ID, own)
			if err != nil {
				return problem.Internal.Errorf("cannot log in to client %q: its own flow for %s: %w", client.ClientID, purpose, err)
			}
			alias = f.Alias
		}
		b := builder{realm: realm, flow: func(alias string) (*model.Flow, error) { return tx.Flows.ByName(ctx, realm.ID, "", alias) }}
		var err error
		root.children, err = b.children(alias, 0)
		return err
	})
	return root, err
}

type builder struct {
	realm *model.Realm
	flow  func(alias string) (*model.Flow, error)
}

func (b builder) children(alias string, depth int) ([]*node, error) {
	if depth > maxDepth {
		return nil, problem.Invalid.Errorf("cannot log in to realm %q: flow %q contains itself", b.realm.Name, alias)
	}
	f, err := b.flow(alias)
	if problem.Is(err, problem.NotFound) {
		return nil, problem.Invalid.Errorf("cannot log in to realm %q: flow %q does not exist", b.realm.Name, alias)
	}
	if err != nil {
		return nil, err
	}
	executions := slices.Clone(f.Executions)
	slices.SortStableFunc(executions, func(x, y model.Execution) int { return cmp.Compare(x.Priority, y.Priority) })
	list := make([]*node, 0, len(executions))
	for i := range executions {
		e := &executions[i]
		if e.Requirement == disabled {
			continue
		}
		n := &node{id: e.ID, provider: e.Authenticator, requirement: e.Requirement, isFlow: e.IsFlow(), config: b.config(e.AuthenticatorConfig)}
		if n.id == "" { // exports leave it out; it must be the same on every server
			n.id = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%s\x00%d\x00%s\x00%s", f.ID, i, e.Authenticator, e.FlowAlias)).String()
		}
		if n.isFlow {
			if n.children, err = b.children(e.FlowAlias, depth+1); err != nil {
				return nil, err
			}
		}
		list = append(list, n)
	}
	return list, nil
}

func (b builder) config(alias string) map[string]string {
	for i := range b.realm.AuthenticatorConfig {
		if alias != "" && b.realm.AuthenticatorConfig[i].Alias == alias {
			return b.realm.AuthenticatorConfig[i].Config
		}
	}
	return nil
}

// flow evaluates the executions of a flow as Keycloak 26 does. Where there are
// required ones all of them must succeed, and alternatives beside them do not
// count; otherwise the first alternative that succeeds is enough. A conditional
// flow whose condition does not hold counts as not there; a flow of nothing else
// has not succeeded.
func (s *Step) flow(n *node) (ok bool, c *Challenge, err error) {
	must, may := s.split(n.children)
	if len(must) > 0 {
		return s.all(must)
	}
	for _, e := range may { // one may have succeeded before
		if s.login.Tab.ExecutionStatus[e.id] == done {
			return true, nil, nil
		}
	}
	var first error
	for _, e := range may {
		ok, c, err = s.one(e)
		if err != nil && errors.As(err, new(*refusal)) {
			if first == nil {
				first = err
			}
			continue
		}
		if ok || c != nil || err != nil {
			return ok, c, err
		}
	}
	return false, nil, first
}

func (s *Step) split(children []*node) (must, may []*node) {
	for _, e := range children {
		switch {
		case s.p.conditions[e.provider] != nil:
		case e.requirement == alternative:
			may = append(may, e)
		default:
			must = append(must, e)
		}
	}
	return must, may
}

func (s *Step) all(must []*node) (bool, *Challenge, error) {
	ran := false
	for _, e := range must {
		if e.requirement == conditional {
			if !e.isFlow {
				continue
			}
			holds, err := s.holds(e)
			if err != nil {
				return false, nil, err
			}
			if !holds {
				continue
			}
		}
		ran = true
		ok, c, err := s.one(e)
		if err != nil || c != nil || !ok {
			return false, c, err
		}
	}
	return ran, nil, nil
}

// holds reports whether all conditions of a conditional flow hold; one without
// conditions never runs.
func (s *Step) holds(flow *node) (bool, error) {
	found := false
	for _, e := range flow.children {
		condition := s.p.conditions[e.provider]
		if condition == nil {
			if strings.HasPrefix(e.provider, "conditional-") {
				return false, s.unknown(e)
			}
			continue
		}
		found = true
		s.at = e
		if holds, err := condition.Holds(s, flow.children); err != nil || !holds {
			return false, err
		}
	}
	return found, nil
}

// one runs one execution, unless it succeeded before.
func (s *Step) one(e *node) (bool, *Challenge, error) {
	if s.login.Tab.ExecutionStatus[e.id] == done {
		return true, nil, nil
	}
	if e.isFlow {
		return s.flow(e)
	}
	executor := s.p.executors[e.provider]
	if executor == nil {
		return false, nil, s.unknown(e)
	}
	if executor.NeedsUser() {
		user, err := s.User()
		if problem.Is(err, problem.NotFound) {
			return false, nil, refused("invalidUserMessage")
		}
		if err != nil {
			return false, nil, err
		}
		if !executor.Configured(s, user) {
			if e.requirement == required {
				return false, nil, refused("credentialSetupRequired")
			}
			return e.requirement == optional, nil, nil
		}
	}
	s.at = e
	return s.settle(e, executor, executor.Begin(s))
}

// settle turns an execution's result into the flow's.
func (s *Step) settle(e *node, executor Executor, result Result) (bool, *Challenge, error) {
	switch result.Status {
	case Success:
		s.login.Tab.ExecutionStatus[e.id] = done
		return true, nil, nil
	case Ask:
		return false, &Challenge{Place: placeFlow, Execution: e.id, Result: result, submit: func(s *Step) Result {
			s.at = e
			result := executor.Submit(s)
			if result.Status == Success {
				s.login.Tab.ExecutionStatus[e.id] = done
			}
			return result
		}}, nil
	case Attempted:
		if e.requirement == required {
			return false, nil, refused("invalidUserMessage")
		}
		return false, nil, nil
	}
	if s.direct != nil {
		s.direct.failed(result)
	}
	if result.Notice == nil {
		return false, nil, refused("invalidUserMessage")
	}
	return false, nil, refused(result.Notice.Key, result.Notice.Args...)
}

// unknown refuses what nobody here can check: a required execution that is not
// known must not be skipped. An alternative simply does not succeed.
func (s *Step) unknown(e *node) error {
	if s.p.said.first(s.login.Realm.ID + e.provider) {
		s.p.Log.Warn().Str("realm", s.login.Realm.Name).Str("execution", e.provider).Str("requirement", e.requirement).
			Msg("this execution is kept but not known here: where it is required, logins are refused")
	}
	if e.requirement == alternative || e.requirement == optional {
		return nil
	}
	return problem.Unsupported.Errorf("cannot log in to realm %q: its flow requires the execution %q, which is not known here", s.login.Realm.Name, e.provider)
}

// Unknown lists the executions and required actions of a realm that are kept
// but not acted on, for the report of an import.
func (p *Processor) Unknown(flows []*model.Flow, realm *model.Realm) (executions, actions []string) {
	for _, f := range flows {
		if f.ProviderID != "basic-flow" {
			continue
		}
		for i := range f.Executions {
			name := f.Executions[i].Authenticator
			if name != "" && f.Executions[i].Requirement != disabled && p.executors[name] == nil && p.conditions[name] == nil && !slices.Contains(executions, name) {
				executions = append(executions, name)
			}
		}
	}
	for i := range realm.RequiredActions {
		if a := &realm.RequiredActions[i]; a.Enabled && p.actions[a.Alias] == nil {
			actions = append(actions, a.Alias)
		}
	}
	return executions, actions
}
