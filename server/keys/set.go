package keys

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// algorithms are the signature algorithms that realms may choose.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.HS256, jose.HS384, jose.HS512,
}

// DefaultAlgorithm signs where neither realm nor client says otherwise.
const DefaultAlgorithm = "RS256"

// Set is the keys of one realm at one moment. It is immutable.
type Set struct {
	keys []*Key // by priority, highest first
	jwks []byte
}

func newSet(keys []*Key) (*Set, error) {
	s := &Set{keys: slices.Clone(keys)}
	slices.SortStableFunc(s.keys, func(a, b *Key) int { return cmp.Compare(b.Priority, a.Priority) })
	published := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range s.keys {
		if !k.Symmetric() && k.Status != Disabled {
			published.Keys = append(published.Keys, k.jwk())
		}
	}
	var err error
	s.jwks, err = json.Marshal(published)
	return s, err
}

// All is every key, by priority, highest first. The slice must not be changed.
func (s *Set) All() []*Key { return s.keys }

// JWKS is the published key set as a JSON document (RFC 7517, section 5).
func (s *Set) JWKS() []byte { return s.jwks }

// Active is the key that signs with (or encrypts for) an algorithm, nil if the
// realm has none.
func (s *Set) Active(algorithm string) *Key {
	for _, k := range s.keys {
		if k.Algorithm == algorithm && k.Status == Active {
			return k
		}
	}
	return nil
}

// ByID is the enabled key with this kid, nil if the realm has none.
func (s *Set) ByID(kid string) *Key {
	for _, k := range s.keys {
		if k.ID == kid && k.Status != Disabled {
			return k
		}
	}
	return nil
}

// Verify returns the payload and the key of a compact JWS that a key of this
// realm made. The header's "alg" must be the key's own: no token chooses how it
// is verified (RFC 8725, section 3.1). Errors are problem.Unauthorized.
func (s *Set) Verify(compact string) ([]byte, *Key, error) {
	jws, err := jose.ParseSignedCompact(compact, algorithms)
	if err != nil {
		return nil, nil, problem.Unauthorized.Errorf("cannot verify a token: it is not a signed JWT")
	}
	header := jws.Signatures[0].Header
	key := s.ByID(header.KeyID)
	if key == nil || key.Use != Signing || key.Algorithm != header.Algorithm {
		return nil, nil, problem.Unauthorized.Errorf("cannot verify a token: the realm has no key %q for %s", header.KeyID, header.Algorithm)
	}
	payload, err := key.verify(jws)
	if err != nil {
		return nil, nil, problem.Unauthorized.Errorf("cannot verify a token: its signature is not of key %q", header.KeyID)
	}
	return payload, key, nil
}
