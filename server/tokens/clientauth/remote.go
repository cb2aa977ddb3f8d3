package clientauth

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// How long a fetched key set is used, how soon an unknown kid may make us fetch
// it again (so that nobody makes us hammer a client), and its size.
const (
	keySetLife    = 10 * time.Minute
	keySetMinAge  = 10 * time.Second
	keySetTimeout = 5 * time.Second
	maxKeySet     = 256 << 10 // bytes
	maxKeySets    = 1000
)

// remoteKeys are the key sets that clients publish.
type remoteKeys struct {
	fetch *http.Client
	clock clock.Clock
	mu    sync.Mutex
	sets  map[string]fetched
}

type fetched struct {
	set jose.JSONWebKeySet
	at  time.Time
}

func newRemoteKeys(fetch *http.Client, c clock.Clock) *remoteKeys {
	return &remoteKeys{fetch: fetch, clock: c, sets: map[string]fetched{}}
}

// find are the keys with this kid at an address; a set that does not have it
// is fetched again, as clients rotate their keys.
func (r *remoteKeys) find(ctx context.Context, address, kid string) ([]any, error) {
	now := r.clock.Now()
	r.mu.Lock()
	known, ok := r.sets[address]
	r.mu.Unlock()
	age := now.Sub(known.at)
	if ok && age < keySetLife {
		if keys := pick(known.set, kid); len(keys) > 0 || age < keySetMinAge {
			return keys, nil
		}
	}
	set, err := r.get(ctx, address)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	if len(r.sets) >= maxKeySets {
		clear(r.sets)
	}
	r.sets[address] = fetched{set, now}
	r.mu.Unlock()
	return pick(set, kid), nil
}

func (r *remoteKeys) get(ctx context.Context, address string) (set jose.JSONWebKeySet, err error) {
	ctx, cancel := context.WithTimeout(ctx, keySetTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return set, problem.Unauthorized.Errorf("cannot fetch the key set %q: %w", address, err)
	}
	resp, err := r.fetch.Do(req)
	if err != nil {
		return set, problem.Unauthorized.Errorf("cannot fetch the key set %q: %w", address, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return set, problem.Unauthorized.Errorf("cannot fetch the key set %q: status %d", address, resp.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxKeySet)).Decode(&set); err != nil {
		return set, problem.Unauthorized.Errorf("cannot read the key set %q: %w", address, err)
	}
	return set, nil
}
