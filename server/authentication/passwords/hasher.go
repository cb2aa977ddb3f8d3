package passwords

import (
	"context"
	"runtime"

	"golang.org/x/sync/semaphore"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// unitKiB is the memory of one hash with the default parameters; a hash that
// needs more takes more of the hasher's places.
const unitKiB = 7168

// Hasher hashes and verifies passwords, a bounded number at a time: as many as
// there are processors finish soonest, and their memory (7 MiB each) is all
// that a flood of logins can take. It is safe for concurrent use.
type Hasher struct {
	places *semaphore.Weighted
	size   int64
}

// NewHasher makes a hasher with so many places; 0 is one for each processor.
func NewHasher(places int) *Hasher {
	if places <= 0 {
		places = runtime.GOMAXPROCS(0)
	}
	return &Hasher{places: semaphore.NewWeighted(int64(places)), size: int64(places)}
}

// Hash makes the hash that a policy asks for. Waiting for a place ends with
// ctx: problem.Unavailable.
func (h *Hasher) Hash(ctx context.Context, policy Policy, password string) (Hash, error) {
	made := policy.blank()
	err := h.bounded(ctx, made, func() (err error) {
		made.Value, err = made.derive(password)
		return err
	})
	return made, err
}

// Verify reports whether a password is the one that was hashed. Errors are
// problem.Unavailable when ctx ended before there was a place, and what is
// wrong with a stored hash that cannot be used.
func (h *Hasher) Verify(ctx context.Context, stored Hash, password string) (bool, error) {
	same := false
	err := h.bounded(ctx, stored, func() (err error) {
		same, err = stored.matches(password)
		return err
	})
	return same, err
}

// Pretend does the work of a Verify for a user that does not exist, so that the
// time of a login does not tell whether it does.
func (h *Hasher) Pretend(ctx context.Context, policy Policy, password string) error {
	_, err := h.Hash(ctx, policy, password)
	return err
}

func (h *Hasher) bounded(ctx context.Context, of Hash, work func() error) error {
	need := int64(1)
	if of.Algorithm == Argon2 {
		cost, err := of.argon2()
		if err != nil {
			return err
		}
		need = min(max(1, (int64(cost.memory)+unitKiB-1)/unitKiB), h.size)
	}
	if err := h.places.Acquire(ctx, need); err != nil {
		return problem.Unavailable.Errorf("cannot check a password: too many logins are waiting: %w", err)
	}
	defer h.places.Release(need)
	return work()
}
