package configrelay

import "github.com/gatehouse-idp/gatehouse/proto/protocol"

// The protocols of this contract that this program speaks; when they change says
// package protocol. An agent and its servers are of two versions whenever one of
// them was restarted and the other not.
const (
	OldestProtocol = 1
	NewestProtocol = 1
)

// Speaking is what this program speaks.
func Speaking(version string) protocol.Speaks {
	return protocol.Speaks{Oldest: OldestProtocol, Newest: NewestProtocol, Version: version}
}

// Protocols is what the server of a hello speaks.
func (h *Hello) Protocols() protocol.Speaks {
	return protocol.Heard(h.GetOldestProtocol(), h.GetProtocol(), h.GetVersion())
}
