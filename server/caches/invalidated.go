package caches

import (
	"context"
	"encoding/json"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Invalidated is a Local cache with string keys that Work keeps coherent: what
// one server changes, all servers of the site forget.
type Invalidated[V any] struct {
	*Local[string, V]
	work  *Work
	topic string
}

// NewInvalidated makes a cache of that name (realms, users, keys,
// authorization ...), the same on all servers. cfg.Coherent is work's.
func NewInvalidated[V any](work *Work, name string, cfg LocalConfig[string, V]) (*Invalidated[V], error) {
	cfg.Coherent = work.Coherent
	local, err := NewLocal(cfg)
	if err != nil {
		return nil, err
	}
	c := &Invalidated[V]{Local: local, work: work, topic: "cache." + name}
	work.OnFlush(func(string) { local.Flush() })
	work.Subscribe(c.topic, c.forget)
	return c, nil
}

// Changed says that the database now has something else for these keys, or,
// without keys, for any: no server of the site serves what it had before once
// it returns nil.
func (c *Invalidated[V]) Changed(ctx context.Context, keys ...string) error {
	payload, err := json.Marshal(keys)
	if err != nil {
		return problem.Internal.Errorf("cannot invalidate %s: %w", c.topic, err)
	}
	return c.work.Publish(ctx, c.topic, payload)
}

func (c *Invalidated[V]) forget(payload []byte) {
	var keys []string
	if err := json.Unmarshal(payload, &keys); err != nil || len(keys) == 0 {
		c.Flush()
		return
	}
	c.Invalidate(keys...)
}
