package controller

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/consensus"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// installation is who this controller is, kept in its directory, readable by
// its user only. Whoever has this file and the log has the domain: see
// docs/decisions on where the authority's key is.
type installation struct {
	Name        string `json:"name"`
	Key         []byte `json:"key"`         // PEM
	Certificate []byte `json:"certificate"` // PEM
	Authority   []byte `json:"authority"`   // PEM: all that are trusted, the issuing one first
	// Previous is the certificate of the authority that issued before, while a
	// rotation goes on: for those that trust no newer one yet.
	Previous *pair  `json:"previous,omitempty"`
	LogKey   []byte `json:"log-key"` // seals the replicated log
	// AuthorityKey (PEM) is here only from the first boot of a domain until the
	// authority is replicated.
	AuthorityKey []byte `json:"authority-key,omitempty"`
	// Recovered is set by Recover until the controllers that were lost are out of
	// the domain's records.
	Recovered bool `json:"recovered,omitempty"`
	// Controllers are the native addresses that were known last: where to ask
	// when this controller comes back at another address, and the leader cannot
	// reach it to tell it anything.
	Controllers []string `json:"controllers,omitempty"`

	path string
}

// pair is a certificate with its key, both PEM.
type pair struct {
	Key         []byte `json:"key"`
	Certificate []byte `json:"certificate"`
}

const installationFile = "controller.json"

// loadInstallation reads the installation in dir; ok is false when there is
// none yet.
func loadInstallation(dir string) (in installation, ok bool, err error) {
	in.path = filepath.Join(dir, installationFile)
	text, err := os.ReadFile(in.path)
	if errors.Is(err, fs.ErrNotExist) {
		return in, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil {
		return in, false, problem.Internal.Errorf("cannot read who this controller is from %s: %w", in.path, err)
	}
	return in, true, nil
}

// found makes the installation of a domain's first controller, with a new
// authority and a new key for the log.
func (in *installation) found(name string, now time.Time) error {
	ca, err := authority.NewCertificateAuthority(now)
	if err != nil {
		return err
	}
	key, err := in.newKey(name)
	if err != nil {
		return err
	}
	request, err := key.Request()
	if err != nil {
		return err
	}
	if in.Certificate, err = ca.Sign(request, authority.Controller(name), now); err != nil {
		return err
	}
	if in.Authority, in.AuthorityKey, err = ca.Marshal(); err != nil {
		return err
	}
	in.LogKey = make([]byte, consensus.KeySize)
	rand.Read(in.LogKey)
	return in.save()
}

// enrol makes the installation of a further controller.
func (in *installation) enrol(ctx context.Context, addresses []string, token authority.Token, now func() time.Time) error {
	key, err := in.newKey(token.Name)
	if err != nil {
		return err
	}
	e, err := peers.Enrol(ctx, addresses, token, key, now)
	if err != nil {
		return err
	}
	in.Certificate, in.Authority, in.LogKey = e.Certificate, e.Authority, e.LogKey
	return in.save()
}

func (in *installation) newKey(name string) (certs.Key, error) {
	key, err := certs.NewKey()
	if err != nil {
		return key, err
	}
	in.Name = name
	in.Key, err = key.Marshal()
	return key, err
}

// identity is what this controller shows its peers.
func (in *installation) identity(now func() time.Time) (*certs.Identity, error) {
	key, err := certs.ParseKey(in.Key)
	if err != nil {
		return nil, err
	}
	id, err := certs.NewIdentity(key, in.Certificate, in.Authority, now)
	if err != nil || in.Previous == nil {
		return id, err
	}
	if key, err = certs.ParseKey(in.Previous.Key); err != nil {
		return nil, err
	}
	return id, id.Keep(key, in.Previous.Certificate)
}

// renew gives the controller a new key and certificate.
func (in *installation) renew(a *authority.Authority, id *certs.Identity) error {
	before, next := id.Issuer(), *in
	key, err := next.newKey(in.Name)
	if err != nil {
		return err
	}
	request, err := key.Request()
	if err != nil {
		return err
	}
	if next.Certificate, next.Authority, err = a.Sign(request, authority.Controller(in.Name)); err != nil {
		return err
	}
	list, err := certs.ParseCertificates(next.Authority)
	if err != nil {
		return err
	}
	switch {
	case len(list) == 1:
		next.Previous = nil
	case certs.Fingerprint(list[0]) != before:
		next.Previous = &pair{Key: in.Key, Certificate: in.Certificate}
	}
	if err := next.save(); err != nil {
		return err
	}
	// The name is read without the lock: it stays.
	in.Key, in.Certificate, in.Authority, in.Previous = next.Key, next.Certificate, next.Authority, next.Previous
	return id.Renew(key, in.Certificate, in.Authority)
}

// save writes the installation so that a crash leaves the old one or the new.
func (in *installation) save() error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if err := writeDurably(in.path, text); err != nil {
		return problem.Internal.Errorf("cannot keep who this controller is: %w", err)
	}
	return nil
}

// writeDurably replaces a file, readable by its owner only; what it returned nil
// for survives a crash of the machine.
func writeDurably(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
