package hostlink

import (
	"cmp"
	"maps"

	"google.golang.org/protobuf/proto"
)

// DirectoryFeed says what to send so that a host has a directory: the whole one
// first on its link, then what changed. The zero value sends whole ones only.
// What it was given must not be changed afterwards.
type DirectoryFeed struct {
	Changes bool       // the host takes changes
	told    *Directory // what the host has, once it has read all that was sent
}

// Next is what makes the host have d; nil when it has it.
func (f *DirectoryFeed) Next(d *Directory) *Instruction {
	from := f.told
	if from != nil && from.GetVersion() == d.GetVersion() {
		return nil
	}
	f.told = d
	if !f.Changes || from == nil {
		return &Instruction{Instruction: &Instruction_Directory{Directory: d}}
	}
	return &Instruction{Instruction: &Instruction_DirectoryChange{DirectoryChange: changeOf(from, d)}}
}

// Lost is called when the host says that it cannot use a change.
func (f *DirectoryFeed) Lost() { f.told = nil }

// DirectoryView is a host's end of a DirectoryFeed, one for each link.
type DirectoryView struct {
	now *Directory // nil: a whole one is needed
}

// Whole takes in a whole directory.
func (v *DirectoryView) Whole(d *Directory) { v.now = d }

// Change takes in a change and gives the directory that it makes. lost: it does
// not fit, and the sender must be told; what follows until a whole one comes is
// of no use and gives nothing.
func (v *DirectoryView) Change(c *DirectoryChange) (d *Directory, lost bool) {
	if v.now == nil {
		return nil, false
	}
	if v.now.GetVersion() == c.GetFrom() {
		if next, fits := c.apply(v.now); fits {
			v.now = next
			return next, false
		}
	}
	v.now = nil
	return nil, true
}

// changeOf is what differs between two directories, both in the order of host
// and name.
func changeOf(from, to *Directory) *DirectoryChange {
	c := &DirectoryChange{From: from.GetVersion(), Version: to.GetVersion()}
	before, after := from.GetServers(), to.GetServers()
	for len(before) > 0 || len(after) > 0 {
		switch order := first(before, after); {
		case order < 0:
			c.Gone = append(c.Gone, nameOf(before[0]))
			before = before[1:]
		case order > 0:
			c.Servers = append(c.Servers, after[0])
			after = after[1:]
		default:
			c.differ(before[0], after[0])
			before, after = before[1:], after[1:]
		}
	}
	return c
}

// differ notes what became of a server that stays.
func (c *DirectoryChange) differ(before, after *DirectoryServer) {
	switch {
	case before == after || proto.Equal(before, after):
	case samePlace(before, after):
		c.States = append(c.States, &DirectoryState{Server: nameOf(after), State: after.GetState(), Healthy: after.GetHealthy()})
	default:
		c.Servers = append(c.Servers, after)
	}
}

// samePlace reports whether two entries differ in nothing but state and health.
func samePlace(a, b *DirectoryServer) bool {
	return a.GetGroup() == b.GetGroup() && a.GetProfile() == b.GetProfile() && a.GetSite() == b.GetSite() &&
		a.GetNode() == b.GetNode() && a.GetAddress() == b.GetAddress() && maps.Equal(a.GetPorts(), b.GetPorts())
}

// apply makes the newer directory; fits is false when the change speaks of
// servers that are not there.
func (c *DirectoryChange) apply(d *Directory) (next *Directory, fits bool) {
	gone, states := map[[2]string]bool{}, map[[2]string]*DirectoryState{}
	for _, n := range c.GetGone() {
		gone[[2]string{n.GetHost(), n.GetName()}] = true
	}
	for _, s := range c.GetStates() {
		states[[2]string{s.GetServer().GetHost(), s.GetServer().GetName()}] = s
	}
	next = &Directory{Version: c.GetVersion()}
	before, after := d.GetServers(), c.GetServers()
	for len(before) > 0 || len(after) > 0 {
		if order := first(before, after); order >= 0 { // new, or in the place of what was
			next.Servers = append(next.Servers, after[0])
			after = after[1:]
			if order == 0 {
				before = before[1:]
			}
			continue
		}
		s, key := before[0], [2]string{before[0].GetHost(), before[0].GetName()}
		before = before[1:]
		if gone[key] {
			delete(gone, key)
			continue
		}
		if state := states[key]; state != nil {
			delete(states, key)
			s = proto.CloneOf(s) // readers may still have the old one
			s.State, s.Healthy = state.GetState(), state.GetHealthy()
		}
		next.Servers = append(next.Servers, s)
	}
	return next, len(gone) == 0 && len(states) == 0
}

// first compares the heads of two lists by host and name; an empty list comes
// last.
func first(a, b []*DirectoryServer) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return cmp.Or(cmp.Compare(a[0].GetHost(), b[0].GetHost()), cmp.Compare(a[0].GetName(), b[0].GetName()))
}

func nameOf(s *DirectoryServer) *ServerName { return &ServerName{Host: s.GetHost(), Name: s.GetName()} }
