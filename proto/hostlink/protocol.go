package hostlink

import "fmt"

// The protocols of this contract that this program speaks. A message or field
// that is only added does not need a new one: protobuf's readers skip what they
// do not know. Newest goes up when an old reader would do wrong. Oldest follows
// with the next minor version, so that within a minor version, and from one to
// the next, agents and controllers of both meet, whichever is replaced first.
const (
	OldestProtocol = 1
	NewestProtocol = 1
)

// Speaks is one side of a link: the protocols it knows and what it is.
type Speaks struct {
	Oldest, Newest uint32
	Version        string // for people
}

func (s Speaks) String() string {
	if s.Oldest == s.Newest {
		return fmt.Sprintf("protocol %d (version %s)", s.Newest, s.Version)
	}
	return fmt.Sprintf("protocols %d to %d (version %s)", s.Oldest, s.Newest, s.Version)
}

// Protocols is what the host of a hello speaks.
func (h *Hello) Protocols() Speaks {
	s := Speaks{Oldest: h.GetOldestProtocol(), Newest: h.GetProtocol(), Version: h.GetVersion()}
	if s.Oldest == 0 { // said by agents since it may differ
		s.Oldest = s.Newest
	}
	return s
}

// Negotiate gives the newest protocol that both sides speak; 0 when there is
// none.
func Negotiate(one, two Speaks) uint32 {
	if newest := min(one.Newest, two.Newest); newest >= max(one.Oldest, two.Oldest) {
		return newest
	}
	return 0
}
