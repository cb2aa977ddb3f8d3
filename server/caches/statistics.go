package caches

// Statistics is what a member counts of a cache.
type Statistics struct {
	Hits, Misses uint64 // of reads through this member; 0 without DistributedConfig.Statistics
	Entries      int    // that this member holds, removed ones that are remembered included
	Bytes        int64  // of their keys and values
	Segments     int    // that this member owns a copy of
	Primary      int    // of these, those that it answers for
	Joining      int    // that this member is being given
	Moves        uint64 // segments that this member has become an owner of
	Epoch        uint64 // number of the placement
	Degraded     bool   // this side has no majority
}

// Statistics counts now.
func (d *Distributed) Statistics() Statistics {
	p, _ := d.current()
	s := Statistics{
		Hits: d.counted.hits.Load(), Misses: d.counted.misses.Load(), Moves: d.counted.moves.Load(),
		Epoch: p.Epoch >> 16, Degraded: p.Degraded,
	}
	for i := range d.segs {
		n, bytes := d.segs[i].size()
		s.Entries, s.Bytes = s.Entries+n, s.Bytes+bytes
		if p.Epoch == 0 {
			continue
		}
		for rank, o := range p.Segments[i].Owners {
			if p.Members[o].same(d.self) {
				s.Segments++
				if rank == 0 {
					s.Primary++
				}
			}
		}
		for _, j := range p.Segments[i].Joiners {
			if p.Members[j.Peer].same(d.self) {
				s.Joining++
			}
		}
	}
	return s
}

func (d *Distributed) count(r result, err error) {
	switch {
	case !d.cfg.Statistics || err != nil:
	case r.found:
		d.counted.hits.Add(1)
	default:
		d.counted.misses.Add(1)
	}
}

// countMoves counts the segments that this member owns in the next placement
// and did not before.
func (d *Distributed) countMoves(before, next *placement) {
	for s := range next.Segments {
		if next.owned(s, d.self) && (before.Epoch == 0 || !before.owned(s, d.self)) {
			d.counted.moves.Add(1)
		}
	}
}

func (p *placement) owned(s int, by peer) bool {
	for _, o := range p.Segments[s].Owners {
		if p.Members[o].same(by) {
			return true
		}
	}
	return false
}
