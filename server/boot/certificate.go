package boot

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// certificateAgain is how often a server asks again for a certificate that it
// could not get: the controllers may be away for a while.
const certificateAgain = 5 * time.Second

// membership is the server's certificate in the domain. Key, certificate and the
// authorities that are trusted are kept on disk: a server boots also when no
// controller can be reached.
type membership struct {
	*identity
	id *certs.Identity
	// key and cert are of id, PEM: kept as the previous ones when another authority
	// issues the next.
	key, cert []byte
}

func (m *membership) path(name string) string { return m.data(filepath.Join("cluster", name)) }

// load takes the certificate that is on disk, or gets one.
func (m *membership) load(ctx context.Context) error {
	if m.recall() {
		return m.entrusted()
	}
	m.id = nil
	for {
		err := m.obtain(ctx)
		if err == nil {
			return nil
		}
		m.say(err.Error())
		if err := clock.Sleep(ctx, m.Clock, certificateAgain); err != nil {
			return err
		}
	}
}

// recall takes what is on disk, and reports whether it is of use: a certificate
// that is not old, of an authority that is trusted now.
func (m *membership) recall() bool {
	read := func(name string) []byte {
		text, err := os.ReadFile(m.path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			m.Log.Warn().Err(err).Msg("cannot read the certificate; getting another")
		}
		return text
	}
	m.key, m.cert = read("key.pem"), read("certificate.pem")
	authorities := read("authority.pem")
	if now, _ := m.trust.get(); now != nil {
		authorities = now
	}
	key, err := certs.ParseKey(m.key)
	if err != nil {
		return false
	}
	m.id, err = certs.NewIdentity(key, m.cert, authorities, m.Clock.Now)
	if err != nil || m.id.Holder() != certs.URI("server", m.cfg.Host, m.cfg.Name).String() {
		return false
	}
	if m.id.Issuer() == "" || !m.Clock.Now().Before(m.id.RenewAt()) {
		return false
	}
	// One of an older authority, for members that trust no newer one yet.
	if older := read("previous.pem"); older != nil {
		if key, cert, err := splitPair(older); err == nil {
			err = m.id.Keep(key, cert)
			m.Log.Debug().Err(err).Msg("took up the certificate of the older authority")
		}
	}
	return true
}

// joinPair and splitPair put a key and its certificate in one file, which is of
// one piece.
func joinPair(key, cert []byte) []byte { return append(bytes.Clone(key), cert...) }

func splitPair(text []byte) (certs.Key, []byte, error) {
	_, cert := pem.Decode(text)
	key, err := certs.ParseKey(text)
	return key, cert, err
}

// obtain gets a certificate for a new key and keeps both.
func (m *membership) obtain(ctx context.Context) error {
	key, err := certs.NewKey()
	if err != nil {
		return err
	}
	request, err := key.Request()
	if err != nil {
		return err
	}
	cert, authorities, err := m.certify(ctx, request)
	if err != nil {
		return err
	}
	keyPEM, err := key.Marshal()
	if err != nil {
		return err
	}
	if m.id == nil {
		if m.id, err = certs.NewIdentity(key, cert, authorities, m.Clock.Now); err != nil {
			return err
		}
	} else {
		before := m.id.Issuer()
		if err := m.id.Renew(key, cert, m.id.Preferred(cert, authorities)); err != nil {
			return err
		}
		if before != m.id.Issuer() {
			if err := m.keep("previous.pem", joinPair(m.key, m.cert)); err != nil {
				return err
			}
		}
	}
	m.key, m.cert = keyPEM, cert
	// A kill between these leaves files that do not fit: load sees that and asks
	// for a new certificate.
	if err := errors.Join(m.keep("key.pem", keyPEM), m.keep("certificate.pem", cert)); err != nil {
		return err
	}
	return m.entrusted()
}

// entrusted keeps whom this server trusts, and tells it.
func (m *membership) entrusted() error {
	if err := m.keep("authority.pem", m.id.Authorities()); err != nil {
		return err
	}
	if len(m.id.Trusted()) == 1 { // the rotation is over
		if err := os.Remove(m.path("previous.pem")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if m.certified != nil {
		m.certified(m.id)
	}
	return nil
}

func (m *membership) keep(name string, text []byte) error {
	if err := os.MkdirAll(m.path(""), 0o700); err != nil {
		return err
	}
	return os.WriteFile(m.path(name), text, 0o600)
}

// renew replaces the certificate when two thirds of its life have passed, or when
// another authority issues now.
func (m *membership) renew(ctx context.Context) error {
	for {
		authorities, changed := m.trust.get()
		if authorities != nil && !bytes.Equal(authorities, m.id.Authorities()) {
			err := m.id.Trust(authorities)
			if err == nil {
				err = m.entrusted()
			}
			if err != nil {
				m.Log.Error().Err(err).Msg("cannot take in the domain's authorities")
			}
		}
		if m.id.Due() {
			err := m.obtain(ctx)
			if err == nil {
				m.Log.Info().Str("authority", m.id.Issuer()).Msg("renewed the certificate")
			} else if ctx.Err() == nil {
				m.Log.Warn().Err(err).Msg("cannot renew the certificate; trying again")
			}
		}
		wait := m.Clock.NewTimer(max(m.id.RenewAt().Sub(m.Clock.Now()), certificateAgain))
		if m.id.Outdated() { // asked in vain, or of a controller that is behind
			wait.Stop()
			wait = m.Clock.NewTimer(certificateAgain)
		}
		select {
		case <-wait.C:
		case <-changed:
		case <-ctx.Done():
		}
		wait.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
