// Package raftlog is the wire contract of the entries of the controllers' replicated log, append-only.
// raftlog.proto says what each message means. It holds generated code only.
package raftlog
