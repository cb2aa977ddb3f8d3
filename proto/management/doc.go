// Package management is the wire contract of the management interface over gRPC: operations of the management model, logins, streams of events.
// management.proto says what each message means. It holds generated code only.
package management
