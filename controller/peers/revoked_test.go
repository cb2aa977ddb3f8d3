package peers_test

import (
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// revocations are the domain's records: that of one controller's certificates, once
// it is made.
type revocations struct {
	authority.Records
	made atomic.Bool
}

func (r *revocations) Record(kind, key string) (domain.Record, bool) {
	if !r.made.Load() || kind != authority.KindRevocation || key != authority.Controller("c2").String() {
		return domain.Record{}, false
	}
	value, err := json.Marshal(map[string]time.Time{"issued-until": clock.Real().Now().Add(time.Hour)})
	return domain.Record{Kind: kind, Key: key, Value: value}, err == nil
}

func TestARevokedControllerIsRefusedOnAConnectionThatStands(t *testing.T) {
	l := &leader{execute: func() ([]byte, error) { return []byte("{}"), nil }}
	c, _ := lead(t, l)
	if _, err := c.Execute(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	l.records.made.Store(true)
	if _, err := c.Execute(t.Context(), nil, nil); !problem.Is(err, problem.Forbidden) {
		t.Errorf("after the revocation: %v", err)
	}
}
