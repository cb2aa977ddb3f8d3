// Package domain owns the replicated state of a domain in memory: the
// management model, its revisions, and the records beside it (hosts' verifiers,
// the authority, revocations, rollouts). A State is immutable: each change gives
// a new one that shares what did not change, so readers need no lock.
//
// It is pure: no clock, no random, no I/O. It must not know raft, the wire, or
// who may do what.
package domain

// State is everything the controllers replicate. The zero State is an empty
// domain.
type State struct {
	model    model
	records  map[string]map[string]Record
	sequence uint64
}
