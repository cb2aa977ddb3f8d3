// Package hostlink is the wire contract of the link between a host agent and a controller: joining, snapshots, orders, reports.
// hostlink.proto says what each message means. It holds generated code only.
package hostlink
