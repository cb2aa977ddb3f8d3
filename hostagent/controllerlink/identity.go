package controllerlink

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// bundle is the host's identity as it is stored: one text, so that key and
// certificate are always of one another.
type bundle struct {
	Key         string `json:"key"`
	Certificate string `json:"certificate"`
	// Authority is all authorities that are trusted, the issuing one first.
	Authority string `json:"authority"`
	// Joined is the fingerprint in the token that the host joined with: the token
	// is still of this domain when the authority is another.
	Joined string `json:"joined,omitempty"`
}

// loadIdentity takes up what an earlier run has stored, where it still counts.
func (l *Link) loadIdentity() error {
	data, err := l.config.Identities.Identity()
	if err != nil || len(data) == 0 {
		return err
	}
	var b bundle
	if err := json.Unmarshal(data, &b); err != nil {
		return fmt.Errorf("cannot read the host's identity: %w", err)
	}
	key, err := certs.ParseKey([]byte(b.Key))
	if err != nil {
		return err
	}
	id, err := certs.NewIdentity(key, []byte(b.Certificate), []byte(b.Authority), l.config.Clock.Now)
	if err != nil {
		return err
	}
	if id.Holder() != holderOf(l.config.Host) {
		return notOurs(l.config.Host, id.Holder())
	}
	if b.Joined == "" { // stored before authorities could be rotated
		b.Joined = certs.Fingerprint(id.Authority())
	}
	if l.config.Join != nil && l.config.Join.Fingerprint != b.Joined && !slices.Contains(id.Trusted(), l.config.Join.Fingerprint) {
		return problem.Precondition.Errorf("the join token is of another domain, or of another authority, than the stored certificate: joining anew")
	}
	l.mu.Lock()
	l.identity, l.stored = id, b
	l.mu.Unlock()
	if l.config.Trusts != nil {
		l.config.Trusts(id.Authorities())
	}
	return nil
}

// saveIdentity stores an identity before it is used: a certificate that was
// issued is not lost by a crash.
func (l *Link) saveIdentity(key certs.Key, certificate, authorities []byte, joined string) error {
	keyPEM, err := key.Marshal()
	if err != nil {
		return err
	}
	return l.save(bundle{Key: string(keyPEM), Certificate: string(certificate), Authority: string(authorities), Joined: joined})
}

func (l *Link) save(b bundle) error {
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if err := l.config.Identities.SaveIdentity(data); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored = b
	return nil
}

// usable is the identity the host can show, or nil: none, or it has expired.
func (l *Link) usable() *certs.Identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.identity == nil || !l.config.Clock.Now().Before(l.identity.Expires()) {
		return nil
	}
	return l.identity
}
