package operations

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

const (
	// bundleHosts is how many hosts are asked for their part at the same moment:
	// each part is in memory until it is written.
	bundleHosts = 4
	// bundleTimeout is how long a host may take for its part.
	bundleTimeout = 30 * time.Second
	// bundlePart is the largest part of a host, bytes; more is cut off and said.
	bundlePart = 64 << 20
	// bundleChunk is how much goes into one event, bytes.
	bundleChunk = 256 << 10
	// bundleAnswer is the largest bundle that fits into an answer without events.
	bundleAnswer = 16 << 20
	// bundleHistory is how many revisions it shows.
	bundleHistory = 200
)

// stranger is the one for whom a bundle is masked: it leaves the house.
var stranger = access.Caller{Name: "support", Grants: []access.Grant{{Role: access.Monitor}}}

// withinURL finds passwords inside of addresses, which no description calls
// sensitive.
var withinURL = regexp.MustCompile(`(?i)(://[^/@:\s"]*:)[^/@\s"]+@|(\bpassword=)[^&;\s"]+`)

// bundled is the answer of :support-bundle.
type bundled struct {
	Name     string   `json:"name"`
	Bytes    int      `json:"bytes"`
	SHA256   string   `json:"sha256"`
	Problems []string `json:"problems,omitempty"` // what is not in it, and why
	// Content is the bundle, when it was not streamed.
	Content []byte `json:"content,omitempty"`
}

// piece is an event of it.
type piece struct {
	Chunk []byte `json:"chunk"`
}

// supportBundle gives what support needs as a .tar.gz: the configuration and its
// history with secrets masked, what runs, of each controller its newest log lines,
// goroutines and state, and the bundles of the hosts with their servers' logs. :support-bundle for the domain,
// /host=x:support-bundle for one host. Followed, it is streamed as events.
func (d *Desk) supportBundle(ctx context.Context, r request) (api.Response, error) {
	now := d.clock.Now().UTC()
	out := &stream{emit: r.emit, sum: sha256.New()}
	b := &bundle{folder: "gatehouse-support-" + now.Format("20060102T150405Z"), now: now, zip: gzip.NewWriter(out)}
	b.tar = tar.NewWriter(b.zip)
	hosts := d.bundledHosts(ctx, r, b)
	if len(hosts) == 0 && len(r.op.Address) > 0 {
		return api.Response{}, problem.NotFound.Errorf("cannot make a bundle of %s: no such host is connected", r.op.Address)
	}
	var err error
	if len(r.op.Address) == 0 {
		err = d.bundleDomain(ctx, b)
	}
	err = errors.Join(err, d.bundleHosts(ctx, b, hosts))
	if len(b.problems) > 0 {
		err = errors.Join(err, b.add("problems.txt", []byte(strings.Join(b.problems, "\n")+"\n")))
	}
	if err = errors.Join(err, b.tar.Close(), b.zip.Close(), out.flush()); err != nil {
		return api.Response{}, problem.KindOf(err).Errorf("cannot make the support bundle: %w", err)
	}
	return api.Response{Result: bundled{Name: b.folder + ".tar.gz", Bytes: out.size, SHA256: hex.EncodeToString(out.sum.Sum(nil)), Problems: b.problems, Content: out.kept}}, nil
}

// bundledHosts are the connected hosts whose part is asked for: all, or the
// address's. One of the domain that is not connected is left out and said.
func (d *Desk) bundledHosts(ctx context.Context, r request, b *bundle) (connected []string) {
	d.publisher.HearFromAll(ctx)
	states, names := d.knownHosts()
	for _, name := range names {
		if len(r.op.Address) > 0 && r.op.Address[0].Name != name && r.op.Address[0].Name != profiles.Wildcard {
			continue
		}
		if states[name].Connected {
			connected = append(connected, name)
		} else {
			b.problems = append(b.problems, "host "+name+": it is not connected")
		}
	}
	return connected
}

// bundleDomain adds what the domain and its controllers are.
func (d *Desk) bundleDomain(ctx context.Context, b *bundle) error {
	ask := func(name, file string, address profiles.Address, params map[string]any) error {
		op := profiles.Operation{Name: name, Address: address, Params: params}
		response, err := d.carryOut(ctx, request{caller: stranger, op: op})
		if err != nil {
			b.problems = append(b.problems, file+": "+err.Error())
			return nil
		}
		shown, err := access.Filter(stranger, op, d.Tree(), response.Result)
		if err != nil {
			return err
		}
		if text, ok := shown.(string); ok {
			return b.add(file, []byte(text))
		}
		return b.addJSON(file, shown)
	}
	every := profiles.Address{{Type: "host", Name: profiles.Wildcard}, {Type: "server", Name: profiles.Wildcard}}
	return errors.Join(
		ask("read-config-as-toml", "domain.toml", nil, nil),
		ask("history", "history.json", nil, map[string]any{"limit": int64(bundleHistory)}),
		ask("rollouts", "rollouts.json", nil, nil),
		ask("hosts", "hosts.json", nil, nil),
		ask("controllers", "controllers.json", nil, nil),
		ask("read-resource", "servers.json", every, nil),
		b.addJSON("replication.json", d.replica.Status()),
		d.bundleControllers(ctx, b),
	)
}

// bundleControllers adds what each controller has of its own. One that does not
// answer is left out and said.
func (d *Desk) bundleControllers(ctx context.Context, b *bundle) error {
	if d.papers == nil {
		return nil
	}
	for _, r := range d.replica.Records(peers.KindController) {
		files, err := d.papers(ctx, r.Key)
		if err != nil {
			b.problems = append(b.problems, "controller "+r.Key+": "+err.Error())
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if err := b.add("controllers/"+r.Key+"/"+name, files[name]); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// bundleHosts adds the hosts' own bundles, each as it is. A host that does not
// answer is left out and said.
func (d *Desk) bundleHosts(ctx context.Context, b *bundle, hosts []string) error {
	for some := range slices.Chunk(hosts, bundleHosts) {
		parts := make([]part, len(some))
		var all sync.WaitGroup
		for i, host := range some {
			all.Go(func() {
				order := publisher.Order{Kind: "support-bundle", Timeout: bundleTimeout, Output: parts[i].take}
				_, parts[i].err = d.publisher.Order(ctx, host, order)
			})
		}
		all.Wait()
		for i, host := range some {
			data, why := parts[i].result()
			if why != nil {
				b.problems = append(b.problems, "host "+host+": "+why.Error())
			}
			if len(data) == 0 {
				continue
			}
			if err := b.write("hosts/"+host+".tar.gz", data); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// part is a host's part on its way.
type part struct {
	mu   sync.Mutex
	data bytes.Buffer
	cut  bool
	err  error
}

func (p *part) take(chunk []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut = p.cut || p.data.Len()+len(chunk) > bundlePart; !p.cut {
		p.data.Write(chunk)
	}
}

func (p *part) result() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.cut {
		p.err = problem.TooLarge.Errorf("its part is larger than %d MiB and was cut off", bundlePart>>20)
	}
	return p.data.Bytes(), p.err
}

// bundle is the archive that is being written.
type bundle struct {
	folder   string
	now      time.Time
	zip      *gzip.Writer
	tar      *tar.Writer
	problems []string
}

// add adds a text, without the passwords of addresses in it.
func (b *bundle) add(name string, text []byte) error {
	return b.write(name, withinURL.ReplaceAll(text, []byte("${1}${2}"+access.Masked)))
}

func (b *bundle) addJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return problem.Internal.Errorf("cannot encode %s: %w", name, err)
	}
	return b.add(name, text)
}

func (b *bundle) write(name string, data []byte) error {
	header := &tar.Header{Name: b.folder + "/" + name, Mode: 0o600, Size: int64(len(data)), ModTime: b.now}
	if err := b.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err := b.tar.Write(data)
	return err
}

// stream sends what is written as events, or keeps it where nobody follows.
type stream struct {
	emit func(any) error
	sum  hash.Hash
	size int
	wait []byte
	kept []byte
}

func (s *stream) Write(data []byte) (int, error) {
	s.size += len(data)
	s.sum.Write(data)
	if s.emit == nil {
		if s.size > bundleAnswer {
			return 0, problem.TooLarge.Errorf("it is larger than %d MiB: follow the operation, as the command support-bundle FILE does", bundleAnswer>>20)
		}
		s.kept = append(s.kept, data...)
		return len(data), nil
	}
	s.wait = append(s.wait, data...)
	for len(s.wait) >= bundleChunk {
		if err := s.emit(piece{s.wait[:bundleChunk]}); err != nil {
			return 0, err
		}
		s.wait = slices.Clone(s.wait[bundleChunk:])
	}
	return len(data), nil
}

func (s *stream) flush() error {
	if len(s.wait) == 0 {
		return nil
	}
	return s.emit(piece{s.wait})
}
