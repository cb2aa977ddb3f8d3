package console

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

const (
	// draftLifetime is how long a planned change is kept: a person reads the plan.
	draftLifetime = 10 * time.Minute
	// draftsKept bounds them; the oldest goes first.
	draftsKept = 256
)

// drafts keep planned changes that have a secret in them, for one use: a typed
// secret goes to the controller once and never comes back in a page. What is kept
// is encrypted with a key that only the page has, so that the controller's memory
// without the page does not tell it either.
type drafts struct {
	clock clock.Clock
	mu    sync.Mutex
	kept  map[[sha256.Size]byte]draft
}

type draft struct {
	sealed []byte
	until  time.Time
}

func newDrafts(c clock.Clock) *drafts {
	return &drafts{clock: c, kept: map[[sha256.Size]byte]draft{}}
}

// put keeps a text for its owner's session and gives what fetches it.
func (d *drafts) put(owner string, text []byte) (id string, err error) {
	id = rand.Text() + rand.Text() // 256 bits
	seal, err := sealOf(id)
	if err != nil {
		return "", err
	}
	now := d.clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tidy(now)
	d.kept[indexOf(id)] = draft{sealed: seal.Seal(nil, nil, text, []byte(owner)), until: now.Add(draftLifetime)}
	return id, nil
}

// take fetches a text once, for who put it there.
func (d *drafts) take(owner, id string) ([]byte, error) {
	index := indexOf(id)
	d.mu.Lock()
	kept, ok := d.kept[index]
	delete(d.kept, index)
	d.mu.Unlock()
	gone := problem.Precondition.Errorf("cannot find the change with its secret: it is kept for %s, for one use, by the controller that planned it; enter it again", draftLifetime)
	if !ok || !kept.until.After(d.clock.Now()) {
		return nil, gone
	}
	seal, err := sealOf(id)
	if err != nil {
		return nil, err
	}
	text, err := seal.Open(nil, nil, kept.sealed, []byte(owner))
	if err != nil {
		return nil, gone // another's
	}
	return text, nil
}

// tidy makes room; d.mu is held.
func (d *drafts) tidy(now time.Time) {
	var oldest [sha256.Size]byte
	for index, kept := range d.kept {
		if !kept.until.After(now) {
			delete(d.kept, index)
		} else if kept.until.Before(d.kept[oldest].until) || d.kept[oldest].sealed == nil {
			oldest = index
		}
	}
	if len(d.kept) >= draftsKept {
		delete(d.kept, oldest)
	}
}

func indexOf(id string) [sha256.Size]byte {
	return sha256.Sum256([]byte("gatehouse console draft index\x00" + id))
}

func sealOf(id string) (cipher.AEAD, error) {
	key := sha256.Sum256([]byte("gatehouse console draft key\x00" + id))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, problem.Internal.Errorf("cannot encrypt a planned change: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
