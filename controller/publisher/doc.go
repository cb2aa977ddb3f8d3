// Package publisher turns each revision of the domain into one immutable,
// checked snapshot per host, and keeps the links to the hosts that this
// controller serves: snapshots, the directory and orders go down, acknowledgements
// and statuses come up.
//
// It knows nothing of raft, of who may change the domain, or of how a rollout
// decides.
package publisher
