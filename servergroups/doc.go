// Package servergroups owns what a domain's servers are: server groups, hosts,
// the servers of a host, their ports, and the plans by which a change reaches
// them. It turns one revision of the management model into what one host needs,
// and that into what one server boots from.
//
// It is pure: it is given the environment, files and times as values. It must
// not know how a model is replicated, how a snapshot travels, or how a process
// is started.
package servergroups
