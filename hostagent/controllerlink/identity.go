package controllerlink

import (
	"encoding/json"
	"fmt"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// bundle is the host's identity as it is stored: one text, so that key and
// certificate are always of one another.
type bundle struct {
	Key         string `json:"key"`
	Certificate string `json:"certificate"`
	Authority   string `json:"authority"`
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
	if l.config.Join != nil && l.config.Join.Fingerprint != certs.Fingerprint(id.Authority()) {
		return problem.Precondition.Errorf("the join token is of another domain than the stored certificate: joining anew")
	}
	l.mu.Lock()
	l.identity = id
	l.mu.Unlock()
	return nil
}

// saveIdentity stores an identity before it is used: a certificate that was
// issued is not lost by a crash.
func (l *Link) saveIdentity(key certs.Key, certificate, authority []byte) error {
	keyPEM, err := key.Marshal()
	if err != nil {
		return err
	}
	data, err := json.Marshal(bundle{Key: string(keyPEM), Certificate: string(certificate), Authority: string(authority)})
	if err != nil {
		return err
	}
	return l.config.Identities.SaveIdentity(data)
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
