package keys

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Provider is a key provider component of a realm.
type Provider struct {
	ID, Name, Kind string
	Config         map[string][]string
}

func (p Provider) get(name string) string {
	if v := p.Config[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Source is where the key providers of realms are kept.
type Source interface {
	// Providers lists a realm's key providers. The stamp changes whenever the
	// list or a setting of it does; it is asked for at each use of a key and
	// must be cheap.
	Providers(ctx context.Context, realm string) (list []Provider, stamp any, err error)
	// Complete gives a provider the settings that fill makes, in one
	// transaction: of any number of callers on any number of servers the first
	// one's settings stay. fill sees the provider as stored and returns nil
	// when nothing is missing.
	Complete(ctx context.Context, realm, provider string, fill func(Provider) (map[string]string, error)) error
	// Add adds a provider unless the realm has one of that name.
	Add(ctx context.Context, realm string, p Provider) error
}

// Realm names a realm: by the id under which it is stored and by the name that
// its certificates carry.
type Realm struct{ ID, Name string }

// Ring holds the keys of all realms, parsed once for each stamp of the source.
// It is safe for concurrent use.
type Ring struct {
	source Source
	clock  clock.Clock
	log    zerolog.Logger

	mu   sync.RWMutex
	sets map[string]held
}

type held struct {
	stamp any
	set   *Set
}

// NewRing makes a Ring over a source.
func NewRing(source Source, c clock.Clock, log zerolog.Logger) *Ring {
	return &Ring{source: source, clock: c, log: log, sets: map[string]held{}}
}

// Of is the key set of a realm. A generated provider that has no material yet
// gets it now. A provider that cannot be used is logged once and left out: the
// realm's other keys still work.
func (r *Ring) Of(ctx context.Context, realm Realm) (*Set, error) {
	list, stamp, err := r.source.Providers(ctx, realm.ID)
	if err != nil {
		return nil, err
	}
	r.mu.RLock()
	h, ok := r.sets[realm.ID]
	r.mu.RUnlock()
	if ok && h.stamp == stamp {
		return h.set, nil
	}
	if missing(list) {
		if err := r.complete(ctx, realm, list); err != nil {
			return nil, err
		}
		if list, stamp, err = r.source.Providers(ctx, realm.ID); err != nil {
			return nil, err
		}
	}
	set, err := newSet(r.parse(realm, list))
	if err != nil {
		return nil, problem.Internal.Errorf("cannot publish the keys of realm %q: %w", realm.Name, err)
	}
	r.mu.Lock()
	r.sets[realm.ID] = held{stamp, set}
	r.mu.Unlock()
	return set, nil
}

// Signer is the active key of a realm for a signature algorithm. When the realm
// has none it gets one: a generated provider of the lowest priority, so that a
// client that asks for ES256 works in a realm that never heard of it.
func (r *Ring) Signer(ctx context.Context, realm Realm, algorithm string) (*Key, error) {
	set, err := r.Of(ctx, realm)
	if err != nil {
		return nil, err
	}
	if key := set.Active(algorithm); key != nil {
		return key, nil
	}
	p, ok := fallback(algorithm)
	if !ok {
		return nil, problem.Invalid.Errorf("cannot sign with %q: no key provider makes keys for it", algorithm)
	}
	r.log.Info().Str("realm", realm.Name).Str("algorithm", algorithm).Msg("adding a fallback key provider: the realm has no active key for this algorithm")
	if err := r.source.Add(ctx, realm.ID, p); err != nil {
		return nil, err
	}
	if set, err = r.Of(ctx, realm); err != nil {
		return nil, err
	}
	if key := set.Active(algorithm); key != nil {
		return key, nil
	}
	return nil, problem.Internal.Errorf("cannot sign with %q in realm %q: provider %q gave no active key", algorithm, realm.Name, p.Name)
}

func (r *Ring) complete(ctx context.Context, realm Realm, list []Provider) error {
	for _, p := range list {
		if !p.incomplete() {
			continue
		}
		err := r.source.Complete(ctx, realm.ID, p.ID, func(stored Provider) (map[string]string, error) {
			if !stored.incomplete() {
				return nil, nil
			}
			return generate(realm.Name, stored.Kind, stored.get, r.clock.Now())
		})
		if problem.Is(err, problem.Invalid) {
			continue // its settings forbid a key; parse says so in the log
		}
		if err != nil {
			return problem.Internal.Errorf("cannot generate the key of provider %q in realm %q: %w", p.Name, realm.Name, err)
		}
	}
	return nil
}

func (r *Ring) parse(realm Realm, list []Provider) []*Key {
	var keys []*Key
	for _, p := range list {
		key, err := parse(p.ID, p.Kind, p.get)
		if err != nil {
			r.log.Warn().Str("realm", realm.Name).Str("provider", p.Name).Str("kind", p.Kind).Err(err).Msg("key provider left out")
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// incomplete reports whether a generated provider waits for its material.
func (p Provider) incomplete() bool {
	k, ok := kindOf(p.Kind)
	return ok && k.generated && p.get(k.material) == ""
}

func missing(list []Provider) bool {
	for _, p := range list {
		if p.incomplete() {
			return true
		}
	}
	return false
}

// fallbackPriority is below every priority that an administrator would choose.
const fallbackPriority = -100

// fallback is the provider that makes keys for an algorithm, with Keycloak's
// name for it.
func fallback(algorithm string) (Provider, bool) {
	kind, settings := "", map[string]string{"algorithm": algorithm}
	switch {
	case !slices.Contains(algorithms, jose.SignatureAlgorithm(algorithm)):
		return Provider{}, false
	case strings.HasPrefix(algorithm, "RS"), strings.HasPrefix(algorithm, "PS"):
		kind = "rsa-generated"
	case strings.HasPrefix(algorithm, "HS"):
		kind = "hmac-generated"
	case algorithm == "EdDSA":
		kind, settings = "eddsa-generated", map[string]string{"eddsaEllipticCurveKey": "Ed25519"}
	case algorithm == "ES256":
		kind, settings = "ecdsa-generated", map[string]string{"ecdsaEllipticCurveKey": "P-256"}
	case algorithm == "ES384":
		kind, settings = "ecdsa-generated", map[string]string{"ecdsaEllipticCurveKey": "P-384"}
	case algorithm == "ES512":
		kind, settings = "ecdsa-generated", map[string]string{"ecdsaEllipticCurveKey": "P-521"}
	}
	p := Provider{ID: uuid.NewString(), Name: "fallback-" + algorithm, Kind: kind, Config: map[string][]string{"priority": {strconv.Itoa(fallbackPriority)}}}
	for name, value := range settings {
		p.Config[name] = []string{value}
	}
	return p, true
}
