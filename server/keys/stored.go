package keys

import (
	"context"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Stored is the Source over the components in a store.
func Stored(store storage.Store) Source { return stored{store} }

type stored struct{ store storage.Store }

func (s stored) Providers(ctx context.Context, realm string) (list []Provider, stamp any, err error) {
	err = s.store.View(ctx, func(tx storage.Tx) error {
		components, err := tx.Components.List(ctx, realm, storage.Query{Kind: ProviderType})
		if err != nil {
			return err
		}
		var versions strings.Builder
		for _, c := range components {
			list = append(list, Provider{ID: c.ID, Name: c.Name, Kind: c.ProviderID, Config: c.Config})
			versions.WriteString(c.ID)
			versions.WriteString(strconv.FormatInt(c.Version, 36))
			versions.WriteByte(' ')
		}
		stamp = versions.String()
		return nil
	})
	return list, stamp, err
}

// Complete makes the material outside of the transaction, which takes a while
// for RSA, and stores it only if the component is still what it was: whoever
// came first has the right key.
func (s stored) Complete(ctx context.Context, realm, provider string, fill func(Provider) (map[string]string, error)) error {
	var c *model.Component
	err := s.store.View(ctx, func(tx storage.Tx) (err error) {
		c, err = tx.Components.Get(ctx, realm, provider)
		return err
	})
	if err != nil {
		return err
	}
	settings, err := fill(Provider{ID: c.ID, Name: c.Name, Kind: c.ProviderID, Config: c.Config})
	if err != nil || settings == nil {
		return err
	}
	changed := model.Clone(c)
	if changed.Config == nil {
		changed.Config = map[string][]string{}
	}
	for name, value := range settings {
		changed.Config[name] = []string{value}
	}
	err = s.store.Update(ctx, func(tx storage.Tx) error {
		again := model.Clone(changed) // Update sets the version, and may run twice
		return tx.Components.Update(ctx, realm, again)
	})
	if problem.Is(err, problem.Conflict) {
		return nil
	}
	return err
}

func (s stored) Add(ctx context.Context, realm string, p Provider) error {
	return s.store.Update(ctx, func(tx storage.Tx) error {
		components, err := tx.Components.List(ctx, realm, storage.Query{Kind: ProviderType})
		if err != nil {
			return err
		}
		for _, c := range components {
			if c.Name == p.Name {
				return nil
			}
		}
		return tx.Components.Create(ctx, realm, &model.Component{
			ID: p.ID, Name: p.Name, ProviderID: p.Kind, ProviderType: ProviderType, Config: p.Config,
		})
	})
}
