// Package hostlink is the wire contract of the link between a host agent and a controller: joining, snapshots, orders, reports.
// hostlink.proto says what each message means. By hand it holds only what both sides must do alike: the protocols
// that a program speaks, and the text of a join token.
package hostlink
