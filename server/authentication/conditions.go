package authentication

import (
	"context"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// conditions is every condition that is known here, by Keycloak's names.
func conditions() map[string]Condition {
	return map[string]Condition{
		"conditional-user-configured": userConfigured{},
		"conditional-user-role":       userRole{},
		"conditional-user-attribute":  userAttribute{},
		"conditional-credential":      credentialUsed{},
	}
}

// userConfigured holds when the user has what the executions beside it ask for:
// all required ones, or one of the alternatives.
type userConfigured struct{}

func (userConfigured) Holds(s *Step, siblings []*node) (bool, error) {
	user, err := s.User()
	if problem.Is(err, problem.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return s.configured(siblings, user), nil
}

func (s *Step) configured(list []*node, u *model.User) bool {
	must, may := s.split(list)
	for _, e := range must {
		if e.requirement != conditional && !s.has(e, u) {
			return false
		}
	}
	if len(must) > 0 {
		return true
	}
	for _, e := range may {
		if s.has(e, u) {
			return true
		}
	}
	return false
}

func (s *Step) has(e *node, u *model.User) bool {
	if e.isFlow {
		return s.configured(e.children, u)
	}
	executor := s.p.executors[e.provider]
	return executor == nil || executor.Configured(s, u) // an unknown one is refused when it runs, not skipped
}

// userRole holds when the user has the role condUserRole: "name" or
// "clientId.name".
type userRole struct{}

func (userRole) Holds(s *Step, _ []*node) (bool, error) {
	config := s.at.config
	user, err := s.User()
	if problem.Is(err, problem.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	has, err := s.p.hasRole(s.ctx, s.login.Realm, user, config["condUserRole"])
	return has != (config["negate"] == "true"), err
}

// hasRole reports whether a user has a role, through groups and composites too.
func (p *Processor) hasRole(ctx context.Context, realm *model.Realm, user *model.User, name string) (has bool, err error) {
	err = p.Store.View(ctx, func(tx storage.Tx) error {
		roles, err := tx.Roles.List(ctx, realm.ID, storage.Query{})
		if err != nil {
			return err
		}
		groups, err := tx.Groups.List(ctx, realm.ID, storage.Query{})
		if err != nil {
			return err
		}
		clients, err := tx.Clients.List(ctx, realm.ID, storage.Query{})
		if err != nil {
			return err
		}
		clientIDs := make(map[string]string, len(clients))
		for _, c := range clients {
			clientIDs[c.ID] = c.ClientID
		}
		set := model.NewRoleSet(roles, func(id string) string { return clientIDs[id] })
		for role := range model.EffectiveRoles(user, set, model.NewGroups(groups)) {
			full := role.Name
			if role.Client != "" {
				full = role.Client + "." + role.Name
			}
			has = has || full == name
		}
		return nil
	})
	return has, err
}

// userAttribute holds when an attribute of the user has a value.
type userAttribute struct{}

func (userAttribute) Holds(s *Step, _ []*node) (bool, error) {
	config := s.at.config
	user, err := s.User()
	if problem.Is(err, problem.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	found := false
	for _, v := range user.Attributes[config["attribute_name"]] {
		found = found || v == config["attribute_expected_value"]
	}
	return found != (config["not"] == "true"), nil
}

// credentialUsed holds when a credential of one of the types in the
// configuration was used in this login, with included=true; otherwise when none
// of them was, as the built-in flow asks after a passkey.
type credentialUsed struct{}

func (credentialUsed) Holds(s *Step, _ []*node) (bool, error) {
	included := s.at.config["included"] == "true"
	for kind := range strings.SplitSeq(strings.ReplaceAll(s.at.config["credentials"], "##", ","), ",") {
		if kind = strings.TrimSpace(kind); kind != "" && s.login.Tab.AuthNotes[usedNote+kind] != "" {
			return included, nil
		}
	}
	return !included, nil
}
