// Package peerlink is the wire contract of what controllers say to each other besides replication.
// peerlink.proto says what each message means. It holds generated code only.
package peerlink
