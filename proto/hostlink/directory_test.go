package hostlink

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func anyDirectory(version uint64) *rapid.Generator[*Directory] {
	return rapid.Custom(func(t *rapid.T) *Directory {
		d := &Directory{Version: version}
		for h := range 3 {
			for n := range 3 {
				if rapid.IntRange(0, 3).Draw(t, "there") == 0 {
					continue
				}
				d.Servers = append(d.Servers, &DirectoryServer{
					Host: fmt.Sprint("h", h), Name: fmt.Sprint("s", n), Node: fmt.Sprint(h, ".", n),
					Address: rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2"}).Draw(t, "address"),
					Ports:   map[string]uint32{"http": rapid.Uint32Range(1, 2).Draw(t, "port")},
					State:   rapid.SampledFrom([]string{"STARTED", "STOPPED"}).Draw(t, "state"),
					Healthy: rapid.Bool().Draw(t, "healthy"),
				})
			}
		}
		return d
	})
}

// The wire of this test loses, doubles and swaps what is sent, which a stream
// does not, and breaks, which it does. What is lost for good shows only with the
// next change, so the last directory is followed by one more that arrives.
func TestWhateverIsLostSwappedOrBrokenTheHostEndsWithTheSameDirectory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		feed, view := &DirectoryFeed{Changes: rapid.IntRange(0, 9).Draw(t, "old host") > 0}, &DirectoryView{}
		var wire []*Instruction
		var has *Directory
		lost := false // the host's complaint is on its way
		read := func(i *Instruction) {
			i = proto.CloneOf(i)
			if d := i.GetDirectory(); d != nil {
				view.Whole(d)
				has = d
			} else if d, gap := view.Change(i.GetDirectoryChange()); d != nil {
				has = d
			} else {
				lost = lost || gap
			}
		}
		version := uint64(0)
		newest := &Directory{}
		send := func() {
			if i := feed.Next(newest); i != nil {
				wire = append(wire, i)
			}
		}
		steps := rapid.IntRange(1, 30).Draw(t, "steps")
		for range steps {
			switch rapid.SampledFrom([]string{"news", "news", "read", "read", "lose", "double", "swap", "break", "complain"}).Draw(t, "step") {
			case "news":
				version += rapid.Uint64Range(1, 3).Draw(t, "more")
				newest = anyDirectory(version).Draw(t, "directory")
				send()
			case "read":
				if len(wire) > 0 {
					read(wire[0])
					wire = wire[1:]
				}
			case "lose":
				if len(wire) > 0 {
					wire = wire[1:]
				}
			case "double":
				if len(wire) > 0 {
					wire = slices.Insert(wire, 0, wire[0])
				}
			case "swap":
				if len(wire) > 1 {
					wire[0], wire[1] = wire[1], wire[0]
				}
			case "break":
				wire, lost = nil, false
				*feed, *view = DirectoryFeed{Changes: feed.Changes}, DirectoryView{}
				send()
			case "complain":
				if lost {
					lost = false
					feed.Lost()
					send()
				}
			}
		}
		// The weather clears: one change more, and all is read and answered.
		version++
		newest = anyDirectory(version).Draw(t, "last")
		send()
		for len(wire) > 0 || lost {
			for len(wire) > 0 {
				read(wire[0])
				wire = wire[1:]
			}
			if lost {
				lost = false
				feed.Lost()
				send()
			}
		}
		if !proto.Equal(has, newest) {
			// A whole directory that was lost leaves a host with nothing to complain
			// of: only a new link ends that, and a stream loses nothing without one.
			if view.now == nil {
				*feed, *view = DirectoryFeed{Changes: feed.Changes}, DirectoryView{}
				send()
				read(wire[0])
			}
			if !proto.Equal(has, newest) {
				t.Fatalf("the host has\n%v\nnot\n%v", has, newest)
			}
		}
	})
}

func TestAChangeIsOnlyWhatDiffers(t *testing.T) {
	at := func(host, state, address string) *DirectoryServer {
		return &DirectoryServer{Host: host, Name: "s", Address: address, State: state, Ports: map[string]uint32{"http": 1}}
	}
	from := &Directory{Version: 7, Servers: []*DirectoryServer{at("a", "STARTED", "1"), at("b", "STARTED", "1"), at("c", "STARTED", "1"), at("d", "STARTED", "1")}}
	to := &Directory{Version: 9, Servers: []*DirectoryServer{at("a", "STARTED", "1"), at("b", "STOPPED", "1"), at("d", "STARTED", "2"), at("e", "STARTING", "1")}}
	c := changeOf(from, to)
	want := &DirectoryChange{From: 7, Version: 9, Servers: []*DirectoryServer{to.Servers[2], to.Servers[3]},
		States: []*DirectoryState{{Server: &ServerName{Host: "b", Name: "s"}, State: "STOPPED"}}, Gone: []*ServerName{{Host: "c", Name: "s"}}}
	if !proto.Equal(c, want) {
		t.Errorf("got %v, want %v", c, want)
	}
}

func TestAChangeOfServersThatAreNotThereIsRefused(t *testing.T) {
	for name, c := range map[string]*DirectoryChange{
		"gone":            {From: 1, Version: 2, Gone: []*ServerName{{Host: "x", Name: "y"}}},
		"state":           {From: 1, Version: 2, States: []*DirectoryState{{Server: &ServerName{Host: "x", Name: "y"}}}},
		"another version": {From: 3, Version: 4},
	} {
		v := &DirectoryView{}
		v.Whole(&Directory{Version: 1})
		if d, lost := v.Change(c); d != nil || !lost {
			t.Errorf("%s: %v, lost %v", name, d, lost)
		}
		if d, lost := v.Change(c); d != nil || lost {
			t.Errorf("%s: it complains twice", name)
		}
	}
}

// 100 hosts with 4 servers: one server starts anew, five states on the way.
func TestBytesOfOneRestartFor100HostsWith4Servers(t *testing.T) {
	d := &Directory{Version: 1 << 60}
	for h := range 100 {
		for s := range 4 {
			d.Servers = append(d.Servers, &DirectoryServer{
				Host: fmt.Sprintf("host-%03d", h), Name: fmt.Sprint("server-", s), Group: "auth-server-group", Profile: "auth-server-clustered",
				Site: "default", Node: fmt.Sprintf("host-%03d.server-%d", h, s), Address: fmt.Sprint("10.0.0.", h), State: "STARTED", Healthy: true,
				Ports: map[string]uint32{"http": 8080, "https": 8443, "health": 9000, "cluster": 7600},
			})
		}
	}
	slices.SortFunc(d.Servers, func(a, b *DirectoryServer) int {
		return cmp.Or(cmp.Compare(a.GetHost(), b.GetHost()), cmp.Compare(a.GetName(), b.GetName()))
	})
	feed := &DirectoryFeed{Changes: true}
	feed.Next(d)
	whole, changes := 0, 0
	for i, state := range []string{"SUSPENDING", "STOPPING", "STARTING", "STARTED", "STARTED"} {
		next := &Directory{Version: d.Version + 1, Servers: slices.Clone(d.Servers)}
		next.Servers[7] = proto.CloneOf(d.Servers[7])
		next.Servers[7].State, next.Servers[7].Healthy = state, i == 4
		whole += 100 * proto.Size(&Instruction{Instruction: &Instruction_Directory{Directory: next}})
		changes += 100 * proto.Size(feed.Next(next))
		d = next
	}
	t.Logf("to all 100 hosts: %d bytes whole, %d as changes", whole, changes)
	if changes*100 > whole {
		t.Errorf("changes take %d bytes, whole directories %d: want a hundredth or less", changes, whole)
	}
}
