// Package configrelay is the wire contract of the local link between an agent and the servers it spawned: configuration, commands, state.
// configrelay.proto says what each message means. By hand it holds only what both sides must do alike: the protocols
// that a program speaks, and the record of how a server ended.
package configrelay
