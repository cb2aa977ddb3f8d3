package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime/pprof"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// supportTimeout is how long another controller may take for its files: a few
// megabytes of memory.
const supportTimeout = 10 * time.Second

// papersOf gives a controller's own files of a support bundle, by name, from
// that controller.
func (p *parts) papersOf(ctx context.Context, name string) (map[string][]byte, error) {
	if name == p.in.Name {
		return p.papers()
	}
	var at peers.Place
	r, ok := p.replica.Record(peers.KindController, name)
	if !ok {
		return nil, problem.NotFound.Errorf("cannot ask controller %q: the domain has none of that name", name)
	}
	if err := json.Unmarshal(r.Value, &at); err != nil {
		return nil, problem.Internal.Errorf("cannot read where controller %q is: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, supportTimeout)
	defer cancel()
	return peers.SupportAt(ctx, at.Native, p.identity, p.allow)
}

// papers are this controller's own files: its newest log lines, what it is doing
// and how it stands in the replication.
func (p *parts) papers() (map[string][]byte, error) {
	var goroutines bytes.Buffer
	stands := pprof.Lookup("goroutine").WriteTo(&goroutines, 2)
	state, err := json.MarshalIndent(map[string]any{
		"name": p.in.Name, "version": p.cfg.Version, "place": p.place, "leads": p.replica.Leads(),
		"certificate-renewed-at": p.identity.RenewAt(), "replication": p.replica.Status(),
	}, "", "  ")
	files := map[string][]byte{"goroutines.txt": goroutines.Bytes(), "state.json": state}
	if p.cfg.Recent != nil {
		files["controller.log"] = maskedLines(p.cfg.Recent())
	}
	return files, errors.Join(stands, err)
}

// maskedLines are JSON lines of a log without the values of fields that name a
// secret. None should be there; a bundle leaves the house. What is no JSON is a
// program's last words and stays.
func maskedLines(text []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		var fields map[string]any
		if json.Unmarshal(line, &fields) != nil {
			out.Write(line)
			continue
		}
		masked := false
		for name := range fields {
			if profiles.SensitiveKey(name) {
				fields[name], masked = access.Masked, true
			}
		}
		if again, err := json.Marshal(fields); masked && err == nil {
			line = append(again, '\n')
		}
		out.Write(line)
	}
	return out.Bytes()
}
