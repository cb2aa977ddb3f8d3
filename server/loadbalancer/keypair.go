package loadbalancer

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

// KeyPair is a certificate and its key in files that may be replaced while
// in use. Files that cannot be used, half written ones too, leave the pair
// before in use. It is safe for concurrent use.
type KeyPair struct {
	files   []string
	read    func() (tls.Certificate, error)
	clock   clock.Clock
	onError func(error)

	mu      sync.Mutex
	pair    *tls.Certificate
	stamp   []time.Time // of files
	checked time.Time
}

// LoadKeyPair reads the pair; onError is told of later failures to reload it.
func LoadKeyPair(certFile, keyFile string, c clock.Clock, onError func(error)) (*KeyPair, error) {
	k := &KeyPair{files: []string{certFile, keyFile}, clock: c, onError: onError, read: func() (tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			err = problem.Invalid.Errorf("cannot use certificate %s with key %s: %w", certFile, keyFile, err)
		}
		return pair, err
	}}
	return k, k.load()
}

func (k *KeyPair) load() error {
	stamp, err := k.stamps()
	if err != nil {
		return problem.Invalid.Errorf("cannot read certificate: %w", err)
	}
	k.checked = k.clock.Now()
	if k.pair != nil && slices.EqualFunc(stamp, k.stamp, time.Time.Equal) {
		return nil
	}
	pair, err := k.read()
	if err != nil {
		return err
	}
	k.pair, k.stamp = &pair, stamp
	return nil
}

func (k *KeyPair) stamps() (stamp []time.Time, err error) {
	for _, name := range k.files {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, err
		}
		stamp = append(stamp, info.ModTime())
	}
	return stamp, nil
}

// Get is tls.Config.GetCertificate.
func (k *KeyPair) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if clock.Since(k.clock, k.checked) >= reloadEvery {
		if err := k.load(); err != nil {
			k.checked = k.clock.Now()
			k.onError(err)
		}
	}
	return k.pair, nil
}
