// Package keystores reads certificates and keys, and certificates that are
// trusted, from files: PEM, PKCS #12 (RFC 7292) and Java's JKS. What is in use
// may be replaced on disk. It knows no product noun.
package keystores

import (
	"crypto/tls"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// reloadEvery is how often the files are looked at: renewals happen days
// before the old certificate ends.
const reloadEvery = 5 * time.Second

// Pair is a certificate and its key in files that may be replaced while in
// use. Files that cannot be used, half written ones too, leave the pair before
// in use. It is safe for concurrent use.
type Pair struct {
	files   []string
	read    func() (tls.Certificate, error)
	clock   clock.Clock
	onError func(error)

	mu      sync.Mutex
	pair    *tls.Certificate
	stamp   []time.Time // of files
	checked time.Time
}

// LoadPEM reads the pair from two PEM files; onError is told of later failures
// to reload it.
func LoadPEM(certFile, keyFile string, c clock.Clock, onError func(error)) (*Pair, error) {
	return load([]string{certFile, keyFile}, c, onError, func() (tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			err = problem.Invalid.Errorf("cannot use certificate %s with key %s: %w", certFile, keyFile, err)
		}
		return pair, err
	})
}

// Load reads the pair from a key store, as LoadPEM does from its files.
func Load(s Store, c clock.Clock, onError func(error)) (*Pair, error) {
	return load([]string{s.File}, c, onError, s.pair)
}

func load(files []string, c clock.Clock, onError func(error), read func() (tls.Certificate, error)) (*Pair, error) {
	p := &Pair{files: files, clock: c, onError: onError, read: read}
	return p, p.load()
}

func (p *Pair) load() error {
	stamp, err := p.stamps()
	if err != nil {
		return problem.Invalid.Errorf("cannot read certificate: %w", err)
	}
	p.checked = p.clock.Now()
	if p.pair != nil && slices.EqualFunc(stamp, p.stamp, time.Time.Equal) {
		return nil
	}
	pair, err := p.read()
	if err != nil {
		return err
	}
	p.pair, p.stamp = &pair, stamp
	return nil
}

func (p *Pair) stamps() (stamp []time.Time, err error) {
	for _, name := range p.files {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, err
		}
		stamp = append(stamp, info.ModTime())
	}
	return stamp, nil
}

// Get is tls.Config.GetCertificate.
func (p *Pair) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if clock.Since(p.clock, p.checked) >= reloadEvery {
		if err := p.load(); err != nil {
			p.checked = p.clock.Now()
			p.onError(err)
		}
	}
	return p.pair, nil
}
