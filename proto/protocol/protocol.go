// Package protocol owns how the two sides of a link find the protocol that they
// speak: each says from which to which number it knows, and the newest that both
// know counts. It must not know what a protocol says.
//
// A message or field that is only added needs no new number: protobuf's readers
// skip what they do not know. A contract's newest number goes up when an old
// reader would do wrong, and its oldest follows with the next minor version, so
// that two programs of one minor version, or of neighbouring ones, meet whichever
// is replaced first.
package protocol

import "fmt"

// Speaks is one side of a link: the protocols it knows and what it is.
type Speaks struct {
	Oldest, Newest uint32
	Version        string // of its program, for people
}

// Heard is what the other side said of itself. Programs from before there was
// anything to say speak 1; those from before an oldest was said, the newest only.
func Heard(oldest, newest uint32, version string) Speaks {
	if newest == 0 {
		newest = 1
	}
	if oldest == 0 || oldest > newest {
		oldest = newest
	}
	return Speaks{Oldest: oldest, Newest: newest, Version: version}
}

func (s Speaks) String() string {
	if s.Oldest == s.Newest {
		return fmt.Sprintf("protocol %d (version %s)", s.Newest, s.Version)
	}
	return fmt.Sprintf("protocols %d to %d (version %s)", s.Oldest, s.Newest, s.Version)
}

// Negotiate gives the newest protocol that both sides speak; 0 when there is
// none.
func Negotiate(one, two Speaks) uint32 {
	if newest := min(one.Newest, two.Newest); newest >= max(one.Oldest, two.Oldest) {
		return newest
	}
	return 0
}
