// Package configrelay is the wire contract of the local link between an agent and the servers it spawned: configuration, commands, state.
// configrelay.proto says what each message means. It holds generated code only.
package configrelay
