// Package profiles owns the management model: the tree of resources that
// configures a domain or a standalone server, the descriptions of its resource
// types, and the operations that read and change it.
//
// Everything derives from the descriptions: validation, completion, defaults,
// the effect of a change, the reference documentation. A Tree is immutable; an
// operation on it gives the next tree and the changes, or a refusal that
// changes nothing.
//
// It is pure: no clock, no random, no I/O, no environment. It must not know
// who runs an operation, where a tree is kept, how it is replicated, or what a
// server does with its configuration.
package profiles
