package standalone

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// authorityFile keeps the server's own authority, so that the fingerprint that
// a client was given stays good. Certificates are made anew by each process.
type authorityFile struct {
	Certificate []byte `json:"certificate"` // PEM
	Key         []byte `json:"key"`         // PEM; the file's mode is 0600
}

// openIdentity gives what the interface shows its callers, and how to renew it.
func openIdentity(path string, now func() time.Time) (*certs.Identity, func() error, error) {
	authority, text, err := openAuthority(path, now())
	if err != nil {
		return nil, nil, err
	}
	issue := func() (certs.Key, []byte, error) {
		key, err := certs.NewKey()
		if err != nil {
			return key, nil, err
		}
		request, err := key.Request()
		if err != nil {
			return key, nil, err
		}
		certificate, err := authority.Sign(request, certs.URI("server", "standalone"), now())
		return key, certificate, err
	}
	key, certificate, err := issue()
	if err != nil {
		return nil, nil, err
	}
	identity, err := certs.NewIdentity(key, certificate, text, now)
	return identity, func() error {
		key, certificate, err := issue()
		if err != nil {
			return err
		}
		return identity.Renew(key, certificate, text)
	}, err
}

// openAuthority reads the authority, or makes one, and gives its certificate as
// PEM too. One whose life has ended is replaced.
func openAuthority(path string, now time.Time) (*certs.Authority, []byte, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, problem.Invalid.Errorf("cannot read the management interface's authority: %w", err)
	}
	if err == nil {
		var f authorityFile
		if err := json.Unmarshal(data, &f); err != nil {
			return nil, nil, problem.WithHint(problem.Invalid.Errorf("cannot read %s: %w", path, err), "remove it, and a new authority is made: its fingerprint changes")
		}
		authority, err := certs.ParseAuthority(f.Certificate, f.Key)
		if err != nil || authority.Certificate.NotAfter.After(now) {
			return authority, f.Certificate, err
		}
	}
	authority, err := certs.NewAuthority("Gatehouse standalone server", now)
	if err != nil {
		return nil, nil, err
	}
	var f authorityFile
	if f.Certificate, f.Key, err = authority.Marshal(); err != nil {
		return nil, nil, err
	}
	if data, err = json.Marshal(f); err != nil {
		return nil, nil, problem.Internal.Errorf("cannot encode the management interface's authority: %w", err)
	}
	return authority, f.Certificate, write(path, data)
}
