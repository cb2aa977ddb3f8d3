package operations

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/raftlog"
)

// Kinds of record that say which texts were taken into the model.
const (
	kindSeed     = "seed"      // key "domain"
	kindHostFile = "host-file" // key: the host
)

// Seed makes the first revision from a domain.toml. Later the model is the truth
// and the file is only compared with what it was.
func (d *Desk) Seed(ctx context.Context, file string, text []byte) error {
	sum := checksum(text)
	if r, ok := d.replica.Record(kindSeed, "domain"); ok {
		if len(text) > 0 && string(r.Value) != sum {
			d.log.Warn().Str("file", file).Msg("the file is not what the domain was seeded from; it is not read any more: use 'apply -f' to make the domain equal to it")
		}
		return nil
	}
	tree, err := profiles.ParseTOML(file, text)
	if err != nil {
		return err
	}
	d.deciding.Lock()
	defer d.deciding.Unlock()
	s, _ := d.replica.State()
	changes, err := json.Marshal(profiles.Diff(s.Tree(), tree))
	if err != nil {
		return problem.Internal.Errorf("cannot encode the seed: %w", err)
	}
	_, err = d.replica.Propose(ctx, &raftlog.Entry{Author: "seed", Change: &raftlog.Entry_Batch{Batch: &raftlog.Batch{Entries: []*raftlog.Entry{
		d.replica.Entry("seed", &raftlog.Entry{Change: &raftlog.Entry_Commit{Commit: &raftlog.Commit{Base: s.Revision(), Comment: "seeded from " + file, Changes: changes}}}),
		d.replica.Entry("seed", &raftlog.Entry{Change: &raftlog.Entry_PutRecord{PutRecord: &raftlog.PutRecord{Kind: kindSeed, Key: "domain", Value: []byte(sum), Expect: domain.Absent}}}),
	}}}})
	return err
}

func checksum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Register enters a host's own file: the operations (a JSON list) that make
// /host=<name>. They replace what is there when the file is new or changed; what
// operators changed since then stays until the file changes again.
func (d *Desk) Register(ctx context.Context, host string, operations []byte) error {
	if !d.replica.Leads() {
		op := profiles.Operation{Name: "register-host", Params: map[string]any{"host": host, "operations": string(operations)}}
		_, err := d.forward(ctx, request{caller: hostCaller(host), op: op})
		return err
	}
	sum := checksum(operations)
	at := profiles.Address{{Type: "host", Name: host}}
	if r, ok := d.replica.Record(kindHostFile, host); ok && string(r.Value) == sum && d.Tree().Has(at) {
		return nil
	}
	var list []profiles.Operation
	if err := json.Unmarshal(operations, &list); err != nil {
		return problem.Invalid.Errorf("cannot register host %s: its operations are not a JSON list of operations: %w", host, err)
	}
	for _, op := range list {
		if !op.Address.Under(at) {
			return problem.Forbidden.Errorf("cannot register host %s: its file changes %s, which is not its own", host, op.Address)
		}
	}
	r := request{caller: hostCaller(host), op: profiles.Operation{Name: "register-host", Params: map[string]any{"host": host}}}
	_, err := d.change(ctx, r, func(s domain.State) (profiles.Tree, any, error) {
		// Asked here, where one change is decided after the other: a host that is
		// removed while it says hello does not come back.
		if !d.authority.Invited(authority.RoleHost, host) {
			return s.Tree(), nil, problem.Forbidden.Errorf("cannot register host %s: it was removed from the domain", host)
		}
		tree, err := replaceHost(s.Tree(), at, list)
		if err != nil {
			err = problem.KindOf(err).Errorf("cannot register host %s: %w", host, err)
		}
		return tree, nil, err
	})
	if err != nil {
		return err
	}
	return d.replica.Put(ctx, kindHostFile, host, []byte(sum), domain.Any)
}

// registerHost is Register for a host that another controller serves.
func (d *Desk) registerHost(ctx context.Context, r request) (api.Response, error) {
	return api.Response{}, d.Register(ctx, r.text("host"), []byte(r.text("operations")))
}

func hostCaller(host string) access.Caller {
	return access.Caller{Name: "host " + host, Mechanism: access.Certificate, Grants: []access.Grant{{Role: access.Administrator, Hosts: []string{host}}}}
}

// replaceHost makes a host's part of the model anew from operations.
func replaceHost(t profiles.Tree, at profiles.Address, list []profiles.Operation) (profiles.Tree, error) {
	steps := list
	if t.Has(at) {
		steps = append([]profiles.Operation{{Name: "remove", Address: at}}, list...)
	}
	next, _, _, err := profiles.Apply(t, profiles.Composite(steps...))
	return next, err
}
