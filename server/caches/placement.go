package caches

import (
	"hash/fnv"
	"slices"

	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

// segments is how many parts the keys of a Distributed are hashed into; whole
// segments move between members.
const segments = 256

// peer is one run of one member.
type peer struct {
	Name   string `json:"n"`
	Born   int64  `json:"b"`
	Joined uint64 `json:"j"` // epoch at which it came in: what it had before is not current
	// Leaving members keep what they hold until others do, and get nothing new.
	Leaving bool `json:"l,omitempty"`
}

func (p peer) same(o peer) bool { return p.Name == o.Name && p.Born == o.Born }

// placement says who holds what; it is immutable. Peers are indexes of Members.
type placement struct {
	// Epoch numbers placements: the upper 48 bits count, the lower 16 are a
	// hash of the coordinator, so that two halves never share a number.
	Epoch    uint64              `json:"e"`
	Line     []uint64            `json:"l"` // epochs of the placements that led here, the last lineLength
	Members  []peer              `json:"m"` // oldest first
	Voters   []peer              `json:"v"` // the members of the last placement with a majority
	Degraded bool                `json:"d"` // made without a majority of the voters
	Floor    uint64              `json:"f"` // what was written in an epoch before it is doubtful; see Raise
	Segments [segments]ownership `json:"s"`
}

// lineLength is how far a member may lag behind and still be seen to.
const lineLength = 64

// ownership is who holds one segment. Owners hold all of it; the first is the
// primary, through which every operation goes. Joiners receive every write and
// are being given the rest.
type ownership struct {
	Owners  []int    `json:"o"`
	Joiners []joiner `json:"j,omitempty"`
	Since   uint64   `json:"p"` // epoch at which the primary became it
}

type joiner struct {
	Peer  int    `json:"i"`
	Since uint64 `json:"s"`
}

// arrival names a joiner that holds its segment whole.
type arrival struct {
	Segment int    `json:"g"`
	Name    string `json:"n"`
	Born    int64  `json:"b"`
	Since   uint64 `json:"s"`
}

func segmentOf(key string) int {
	h := fnv.New64a()
	h.Write([]byte(key))
	return int(mix(h.Sum64()) % segments)
}

// mix spreads a hash's entropy over all its bits (splitmix64's finaliser).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func nextEpoch(last uint64, coordinator string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(coordinator))
	return (last>>16+1)<<16 | mix(h.Sum64())&0xffff
}

// ranked are the members that should hold a segment, by rendezvous hashing: a
// member that comes or goes moves only its own segments.
func ranked(members []peer, segment, owners int) []int {
	score := make([]uint64, len(members))
	var order []int
	allLeave := !slices.ContainsFunc(members, func(m peer) bool { return !m.Leaving })
	for i, m := range members {
		h := fnv.New64a()
		h.Write([]byte(m.Name))
		score[i] = mix(h.Sum64() + uint64(segment)*0x9e3779b97f4a7c15)
		if !m.Leaving || allLeave {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case score[a] > score[b]:
			return -1
		case score[a] < score[b]:
			return 1
		default:
			return a - b
		}
	})
	return order[:min(owners, len(order))]
}

// planInput is what the next placement follows from.
type planInput struct {
	coordinator string
	owners      int
	majority    bool   // the cache refuses to work without one
	alive       []peer // oldest first
	departed    []peer // lost, perhaps alive beyond a broken network
	highest     uint64 // the highest epoch known anywhere
	arrived     map[arrival]bool
	leaving     map[string]int64 // name to birth of those who asked to leave
	raise       uint64           // the floor is to be above this epoch
}

// plan gives the placement that should follow base, and whether it differs.
func plan(base *placement, in planInput) (*placement, bool) {
	next := &placement{Epoch: nextEpoch(max(base.Epoch, in.highest), in.coordinator)}
	if base.Epoch != 0 {
		next.Line = append(slices.Clone(base.Line[max(0, len(base.Line)-lineLength+1):]), base.Epoch)
	}
	changed := len(in.alive) != len(base.Members) || base.Epoch < in.highest
	index := make([]int, len(base.Members)) // of a base member in next, or -1
	for i, m := range base.Members {
		index[i] = slices.IndexFunc(in.alive, m.same)
		changed = changed || index[i] < 0
	}
	for _, a := range in.alive {
		a.Joined = next.Epoch
		if i := slices.IndexFunc(base.Members, a.same); i >= 0 {
			a.Joined = base.Members[i].Joined
			a.Leaving = base.Members[i].Leaving || in.leaving[a.Name] == a.Born
			changed = changed || a.Leaving != base.Members[i].Leaving
		} else {
			changed = true
		}
		next.Members = append(next.Members, a)
	}
	next.Voters, next.Degraded = next.Members, false
	if in.majority && !hasMajority(base.Voters, in) {
		next.Voters, next.Degraded = base.Voters, true
	}
	changed = changed || next.Degraded != base.Degraded
	if next.Floor = base.Floor; in.raise != 0 && next.Floor <= in.raise {
		next.Floor, changed = next.Epoch, true
	}
	for s := range next.Segments {
		own, differs := planSegment(base, next, index, s, in)
		next.Segments[s] = own
		changed = changed || differs
	}
	return next, changed
}

// hasMajority reports whether more than half of the voters that may be alive
// are here, or half of them with the oldest.
func hasMajority(voters []peer, in planInput) bool {
	var here, all int
	oldestHere := true
	for _, v := range voters {
		present := slices.ContainsFunc(in.alive, v.same)
		if !present && !slices.ContainsFunc(in.departed, v.same) {
			continue // surely ended: it accepts nothing anywhere
		}
		if all == 0 {
			oldestHere = present
		}
		all++
		if present {
			here++
		}
	}
	return 2*here > all || 2*here == all && oldestHere
}

func planSegment(base, next *placement, index []int, s int, in planInput) (own ownership, changed bool) {
	was := base.Segments[s]
	for _, o := range was.Owners {
		if i := index[o]; i >= 0 {
			own.Owners = append(own.Owners, i)
		}
	}
	wanted := ranked(next.Members, s, in.owners)
	var partial []joiner
	for _, j := range was.Joiners {
		i := index[j.Peer]
		if i < 0 {
			continue
		}
		m := next.Members[i]
		switch {
		case len(own.Owners) > 0 && in.arrived[arrival{s, m.Name, m.Born, j.Since}]:
			own.Owners = append(own.Owners, i)
		case slices.Contains(wanted, i):
			partial = append(partial, joiner{i, j.Since})
		}
	}
	if len(own.Owners) == 0 { // all copies are lost: what a joiner got is the most there is
		first := wanted[0]
		if len(partial) > 0 {
			first = partial[0].Peer
			partial = partial[1:]
		}
		own.Owners = []int{first}
	}
	complete := true
	for _, w := range wanted {
		if slices.Contains(own.Owners, w) {
			continue
		}
		complete = false
		i := slices.IndexFunc(partial, func(j joiner) bool { return j.Peer == w })
		if i >= 0 {
			own.Joiners = append(own.Joiners, partial[i])
		} else {
			own.Joiners = append(own.Joiners, joiner{w, next.Epoch})
		}
	}
	if complete {
		own.Owners = wanted
	}
	own.Since = next.Epoch
	if len(was.Owners) > 0 && index[was.Owners[0]] == own.Owners[0] {
		own.Since = was.Since
	}
	return own, !sameOwnership(was, own, index)
}

func sameOwnership(was, own ownership, index []int) bool {
	if was.Since != own.Since || len(was.Owners) != len(own.Owners) || len(was.Joiners) != len(own.Joiners) {
		return false
	}
	for i, o := range was.Owners {
		if index[o] != own.Owners[i] {
			return false
		}
	}
	for i, j := range was.Joiners {
		if index[j.Peer] != own.Joiners[i].Peer || j.Since != own.Joiners[i].Since {
			return false
		}
	}
	return true
}

// report is the placement that one member has installed.
type report struct {
	from peer
	has  *placement
}

// chooseBase finds the placement to go on from. Of one line the latest counts;
// of several lines, after a partition, one that had a majority before one that
// had not, then the one with the most members, then the one with the oldest.
func chooseBase(reports []report) *placement {
	best := &placement{}
	for _, r := range reports {
		if r.has.Epoch == 0 || superseded(r, reports) {
			continue
		}
		if best.Epoch == 0 || better(r.has, best) {
			best = r.has
		}
	}
	return best
}

// superseded reports whether another member's placement followed from this one.
func superseded(r report, reports []report) bool {
	return slices.ContainsFunc(reports, func(o report) bool { return slices.Contains(o.has.Line, r.has.Epoch) })
}

func better(p, q *placement) bool {
	switch {
	case p.Degraded != q.Degraded:
		return q.Degraded
	case len(p.Members) != len(q.Members):
		return len(p.Members) > len(q.Members)
	case p.Members[0].Born != q.Members[0].Born:
		return p.Members[0].Born < q.Members[0].Born
	default:
		return p.Epoch > q.Epoch
	}
}

func peersOf(members []cluster.Member) []peer {
	peers := make([]peer, len(members))
	for i, m := range members {
		peers[i] = peer{Name: m.Name, Born: m.Born}
	}
	return peers
}

// primary is who answers for a segment.
func (p *placement) primary(segment int) peer { return p.Members[p.Segments[segment].Owners[0]] }

// holders are all who receive the writes of a segment, but the one named.
func (p *placement) holders(segment int, but string) []string {
	var names []string
	for _, o := range p.Segments[segment].Owners {
		names = append(names, p.Members[o].Name)
	}
	for _, j := range p.Segments[segment].Joiners {
		names = append(names, p.Members[j.Peer].Name)
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == but })
}

// find is the member of that name, or nil.
func (p *placement) find(name string) *peer {
	for i := range p.Members {
		if p.Members[i].Name == name {
			return &p.Members[i]
		}
	}
	return nil
}
