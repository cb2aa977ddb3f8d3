// Package keystest owns a source of key providers that lives in memory. It is
// never compiled into the product.
package keystest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/keys"
)

// Source is a keys.Source in memory.
type Source struct {
	mu     sync.Mutex
	realms map[string][]keys.Provider
	stamp  int
}

// New returns a source whose realm "realm" has the given providers.
func New(realm string, providers ...keys.Provider) *Source {
	return &Source{realms: map[string][]keys.Provider{realm: providers}}
}

// Providers lists a realm's providers.
func (s *Source) Providers(_ context.Context, realm string) ([]keys.Provider, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.realms[realm]), s.stamp, nil
}

// Complete fills one provider under the source's lock.
func (s *Source) Complete(_ context.Context, realm, provider string, fill func(keys.Provider) (map[string]string, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range s.realms[realm] {
		if p.ID != provider {
			continue
		}
		settings, err := fill(p)
		if err != nil || settings == nil {
			return err
		}
		p.Config = maps.Clone(p.Config)
		for name, value := range settings {
			p.Config[name] = []string{value}
		}
		s.realms[realm][i] = p
		s.stamp++
		return nil
	}
	return problem.NotFound.Errorf("cannot complete key provider %q: realm %q has none", provider, realm)
}

// Add adds a provider unless there is one of its name.
func (s *Source) Add(_ context.Context, realm string, p keys.Provider) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.realms[realm] {
		if q.Name == p.Name {
			return nil
		}
	}
	s.realms[realm] = append(s.realms[realm], p)
	s.stamp++
	return nil
}

// Set replaces a setting of the provider of this name.
func (s *Source) Set(realm, provider, name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range s.realms[realm] {
		if p.Name == provider {
			p.Config = maps.Clone(p.Config)
			p.Config[name] = []string{value}
			s.realms[realm][i] = p
			s.stamp++
		}
	}
}
