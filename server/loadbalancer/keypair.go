package loadbalancer

import (
	"crypto/tls"
	"os"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// reloadEvery is how often the files are looked at: renewals happen days
// before the old certificate ends.
const reloadEvery = 5 * time.Second

// KeyPair is a certificate and its key in PEM files that may be replaced while
// in use. Files that cannot be used, half written ones too, leave the pair
// before in use. It is safe for concurrent use.
type KeyPair struct {
	certFile, keyFile string
	clock             clock.Clock
	onError           func(error)

	mu      sync.Mutex
	pair    *tls.Certificate
	stamp   [2]time.Time
	checked time.Time
}

// LoadKeyPair reads the pair; onError is told of later failures to reload it.
func LoadKeyPair(certFile, keyFile string, c clock.Clock, onError func(error)) (*KeyPair, error) {
	k := &KeyPair{certFile: certFile, keyFile: keyFile, clock: c, onError: onError}
	return k, k.load()
}

func (k *KeyPair) load() error {
	stamp, err := k.stamps()
	if err != nil {
		return problem.Invalid.Errorf("cannot read certificate: %w", err)
	}
	k.checked = k.clock.Now()
	if k.pair != nil && stamp == k.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return problem.Invalid.Errorf("cannot use certificate %s with key %s: %w", k.certFile, k.keyFile, err)
	}
	k.pair, k.stamp = &pair, stamp
	return nil
}

func (k *KeyPair) stamps() (stamp [2]time.Time, err error) {
	for i, name := range []string{k.certFile, k.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, err
		}
		stamp[i] = info.ModTime()
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
