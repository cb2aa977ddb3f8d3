package hostlink

import "github.com/gatehouse-idp/gatehouse/proto/protocol"

// The protocols of this contract that this program speaks; when they change says
// package protocol.
const (
	OldestProtocol = 1
	NewestProtocol = 1
)

// Speaks is one side of a link.
type Speaks = protocol.Speaks

// Protocols is what the host of a hello speaks.
func (h *Hello) Protocols() Speaks {
	return protocol.Heard(h.GetOldestProtocol(), h.GetProtocol(), h.GetVersion())
}

// Negotiate gives the newest protocol that both sides speak; 0 when there is
// none.
func Negotiate(one, two Speaks) uint32 { return protocol.Negotiate(one, two) }
