package authentication

import (
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// ConsentForm is the data of the page that asks for the user's consent.
type ConsentForm struct {
	Links
	Client string
	Scopes []string // texts, or keys of messages
}

// consent asks whether the client may have what it asks for, unless the user
// said so before or the realm trusts the client.
func (s *Step) consent(u *model.User) (*Challenge, error) {
	if !s.login.Client.ConsentRequired {
		return nil, nil //nolint:nilnil // nothing to ask, no error
	}
	asked, err := s.scopes()
	if err != nil {
		return nil, err
	}
	granted, consented := grantedTo(u, s.login.Client.ClientID)
	prompted := slices.Contains(strings.Fields(s.login.Tab.ClientNotes["prompt"]), "consent") && s.login.Tab.AuthNotes[consentNote] == ""
	missing := slices.ContainsFunc(asked, func(c *model.ClientScope) bool { return !slices.Contains(granted, c.Name) })
	if consented && !missing && !prompted {
		return nil, nil //nolint:nilnil // nothing to ask, no error
	}
	form := &ConsentForm{Client: s.login.Client.Name}
	if form.Client == "" || strings.HasPrefix(form.Client, "${") {
		form.Client = s.login.Client.ClientID
	}
	for _, c := range asked {
		form.Scopes = append(form.Scopes, consentText(c))
	}
	return &Challenge{Place: placeConsent, Result: Result{Status: Ask, Page: "consent", Data: form}, submit: func(s *Step) Result {
		return s.takeConsent(u, asked)
	}}, nil
}

// consentNote of a tab says that the user consented in this login.
const consentNote = "consent"

func (s *Step) takeConsent(u *model.User, asked []*model.ClientScope) Result {
	if s.form.Get("cancel") != "" {
		return Result{Status: Denied}
	}
	if s.form.Get("accept") == "" {
		return Result{Status: Failed}
	}
	now := s.p.Clock.Now().UnixMilli()
	changed, err := s.p.accounts.Change(s.ctx, s.login.Realm.ID, u.ID, func(u *model.User) error {
		at := slices.IndexFunc(u.ClientConsents, func(c model.Consent) bool { return c.ClientID == s.login.Client.ClientID })
		if at < 0 {
			at = len(u.ClientConsents)
			u.ClientConsents = append(u.ClientConsents, model.Consent{ClientID: s.login.Client.ClientID, CreatedDate: now})
		}
		c := &u.ClientConsents[at]
		for _, scope := range asked {
			if !slices.Contains(c.GrantedClientScopes, scope.Name) {
				c.GrantedClientScopes = append(c.GrantedClientScopes, scope.Name)
			}
		}
		c.LastUpdatedDate = now
		return nil
	})
	if err != nil {
		return s.broken(err)
	}
	s.setUser(changed)
	s.login.Tab.AuthNotes[consentNote] = "true"
	return Result{Status: Success}
}

// scopes are the client scopes of this login that users are asked about.
func (s *Step) scopes() ([]*model.ClientScope, error) {
	client := s.login.Client
	names := slices.Clone(client.DefaultClientScopes)
	for _, name := range strings.Fields(s.login.Tab.ClientNotes["scope"]) {
		if slices.Contains(client.OptionalClientScopes, name) {
			names = append(names, name)
		}
	}
	var asked []*model.ClientScope
	err := s.p.Store.View(s.ctx, func(tx storage.Tx) error {
		for _, name := range names {
			c, err := tx.ClientScopes.ByName(s.ctx, s.login.Realm.ID, "", name)
			if problem.Is(err, problem.NotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if c.Attributes["display.on.consent.screen"] == "true" {
				asked = append(asked, c)
			}
		}
		return nil
	})
	return asked, err
}

func grantedTo(u *model.User, clientID string) (scopes []string, found bool) {
	for i := range u.ClientConsents {
		if u.ClientConsents[i].ClientID == clientID {
			return u.ClientConsents[i].GrantedClientScopes, true
		}
	}
	return nil, false
}

// consentText is what a scope is called on the page: its own text, of which
// "${key}" is a key of the messages.
func consentText(c *model.ClientScope) string {
	text := c.Attributes["consent.screen.text"]
	if key, ok := strings.CutPrefix(text, "${"); ok {
		return strings.TrimSuffix(key, "}")
	}
	if text == "" {
		return c.Name
	}
	return text
}
