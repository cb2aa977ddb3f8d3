package profiles

import (
	"slices"
	"sync"
)

// The roots, built once and never changed.
var (
	domainRoot     = sync.OnceValue(buildDomain)
	standaloneRoot = sync.OnceValue(buildStandalone)
)

// root is the description of the mode's root.
func (m Mode) root() *Description {
	if m == Standalone {
		return standaloneRoot()
	}
	return domainRoot()
}

func buildDomain() *Description {
	return &Description{
		Text: "A domain: everything managed together.",
		Children: []Child{
			{Type: "profile", Name: Wildcard, Description: profile()},
			{Type: "socket-binding-group", Name: Wildcard, Description: socketBindingGroup(Domain)},
			{Type: "interface", Name: Wildcard, Description: networkInterface()},
			{Type: "server-group", Name: Wildcard, Description: serverGroup()},
			{Type: "system-property", Name: Wildcard, Description: systemProperty()},
			{Type: "path", Name: Wildcard, Description: path()},
			{Type: "rollout-plan", Name: Wildcard, Description: rolloutPlan()},
			{Type: "core-service", Name: "management", Implicit: true, Description: withAuthority(managementService(true))},
			{Type: "host", Name: Wildcard, Description: host()},
		},
		Operations: slices.Concat(groupOperations(), documentOperations(), userOperations(), membershipOperations(), []OperationDescription{supportBundle(), rotateAuthority()}),
	}
}

func supportBundle() OperationDescription {
	return OperationDescription{Name: "support-bundle", Runtime: true,
		Text: "What support needs, as a .tar.gz: configuration with secrets masked, state, logs, goroutines.", Params: []Attribute{
			{Name: "file", Type: String, Verbatim: true, Text: "The file that the command line writes it to. Default: a name with the time, in the current folder."},
		}}
}

func buildStandalone() *Description {
	return &Description{
		Text: "A standalone server.",
		Children: append([]Child{
			{Type: "socket-binding-group", Name: Wildcard, Description: socketBindingGroup(Standalone)},
			{Type: "interface", Name: Wildcard, Description: networkInterface()},
			{Type: "system-property", Name: Wildcard, Description: systemProperty()},
			{Type: "path", Name: Wildcard, Description: path()},
			{Type: "core-service", Name: "management", Implicit: true, Description: managementService(true)},
		}, standaloneSubsystems()...),
		Runtime: []Attribute{
			{Name: "server-state", Type: String, Text: "running, reload-required, restart-required, starting, stopping; suspended is said by suspend-state."},
			{Name: "suspend-state", Type: String, Text: "RUNNING, SUSPENDING or SUSPENDED."},
		},
		Operations: slices.Concat(documentOperations(), userOperations(), []OperationDescription{
			{Name: "reload", Text: "Start the server's services anew.", Runtime: true},
			{Name: "suspend", Text: "Finish running requests and take no new ones.", Runtime: true, Params: []Attribute{suspendTimeout()}},
			{Name: "resume", Text: "Take requests again.", Runtime: true},
			{Name: "shutdown", Text: "Stop the server.", Runtime: true, Params: []Attribute{
				{Name: "restart", Type: Bool, Default: false, Text: "Start the program again, as it is installed then."},
				suspendTimeout(),
			}},
		}),
	}
}

func profile() *Description {
	return &Description{
		Text:   "A named set of subsystem configuration that a server boots from.",
		Effect: Live,
		Attributes: []Attribute{
			{Name: "includes", Type: List, Literal: true, Reference: "profile", Effect: Reload,
				Text: "Profiles whose subsystems this one has as well, unless it has its own of the name."},
		},
		Children: subsystems(),
		Operations: []OperationDescription{
			{Name: "clone", Text: "Make a new profile like this one.",
				Params: []Attribute{{Name: "to-profile", Type: String, Required: true, Literal: true, Text: "The new profile's name."}}},
		},
	}
}

// subsystems are the children of a profile and of a standalone server's root.
func subsystems() []Child {
	return []Child{
		{Type: "subsystem", Name: "identity", Description: identity()},
		{Type: "subsystem", Name: "datasources", Description: datasources()},
		{Type: "subsystem", Name: "caches", Description: caches()},
		{Type: "subsystem", Name: "cluster", Description: cluster()},
		{Type: "subsystem", Name: "http", Description: web()},
		{Type: "subsystem", Name: "logging", Description: logging()},
	}
}

// standaloneSubsystems are those of a server whose log files are at hand.
func standaloneSubsystems() []Child {
	list := subsystems()
	for _, c := range list {
		if c.Name == "logging" {
			c.Operations = logFileOperations()
		}
	}
	return list
}

func serverGroup() *Description {
	return &Description{
		Text:   "Servers that are managed and configured as one.",
		Effect: Live,
		Attributes: []Attribute{
			{Name: "profile", Type: String, Required: true, Literal: true, Reference: "profile", Effect: Restart,
				Text: "The profile that the servers boot from."},
			{Name: "socket-binding-group", Type: String, Required: true, Literal: true, Reference: "socket-binding-group", Effect: Restart,
				Text: "The ports of the servers."},
			{Name: "socket-binding-port-offset", Aliases: []string{"port-offset"}, Type: Int, Default: int64(0), Range: &Range{-65535, 65535}, Effect: Restart,
				Text: "Added to every port of the servers that have no offset of their own."},
			{Name: "socket-binding-default-interface", Type: String, Literal: true, Reference: "interface", Effect: Restart,
				Text: "The interface of bindings that name none, instead of the socket-binding group's."},
		},
		Children: []Child{
			{Type: "process", Name: Wildcard, Description: process()},
			{Type: "system-property", Name: Wildcard, Description: systemProperty()},
		},
		Operations: groupOperations(),
	}
}

// groupOperations act on all servers of a group, or of the domain.
func groupOperations() []OperationDescription {
	return append(bulkOperations(), OperationDescription{Name: "rolling-restart",
		Text: "Restart the servers in order, behind health gates.", Runtime: true})
}

// bulkOperations act on all servers of a host, a group or the domain at once.
func bulkOperations() []OperationDescription {
	timeout := suspendTimeout()
	blocking := Attribute{Name: "blocking", Type: Bool, Default: true, Text: "Wait until it is done."}
	op := func(name, text string, params ...Attribute) OperationDescription {
		return OperationDescription{Name: name, Text: text, Runtime: true, Params: params}
	}
	return []OperationDescription{
		op("start-servers", "Start the servers that do not run.", blocking),
		op("stop-servers", "Stop the servers.", blocking, timeout),
		op("restart-servers", "Stop and start the servers, all at once.", blocking, timeout),
		op("reload-servers", "Start the servers' services anew, all at once.", blocking),
		op("suspend-servers", "Finish running requests and take no new ones.", timeout),
		op("resume-servers", "Take requests again."),
		op("kill-servers", "Kill the servers' processes."),
		op("destroy-servers", "Kill the servers' processes and everything that they started."),
	}
}

func suspendTimeout() Attribute {
	return Attribute{Name: "suspend-timeout", Aliases: []string{"timeout"}, Type: Int, Default: int64(0), Unit: "seconds",
		Text: "How long running requests are waited for."}
}

// process is what WildFly calls a jvm.
func process() *Description {
	return &Description{
		Text:   "Settings of the servers' processes. WildFly's name of it is jvm.",
		Effect: Restart,
		Attributes: []Attribute{
			{Name: "memory-limit", Aliases: []string{"max-heap-size", "heap-max-size"}, Type: Size, Effect: Restart, Unit: "bytes",
				Text: "The memory that a process may use. A max-heap-size is taken as this."},
			kept(Attribute{Name: "heap-size", Type: Size, Unit: "bytes",
				Text: "Taken from WildFly's files; a process grows as it needs, so nothing is done with it."}),
			{Name: "environment", Aliases: []string{"environment-variables"}, Type: Map, Effect: Restart,
				Text: "Environment variables of the process."},
			{Name: "arguments", Aliases: []string{"jvm-options"}, Type: List, Effect: Restart,
				Text: "Further arguments of the process, as -Dname=value."},
		},
	}
}

func systemProperty() *Description {
	return &Description{
		Text:   "A value for expressions and feature switches. Server goes before host, host before server group, server group before domain.",
		Effect: Reload,
		Attributes: []Attribute{
			{Name: "value", Type: String, Effect: Reload, Text: "The value; empty when it is not there."},
			{Name: "boot-time", Type: Bool, Default: true, Effect: Restart, Text: "Whether it is there when the process starts, as WildFly has it; it always is."},
		},
	}
}

func path() *Description {
	return &Description{
		Text:   "A named folder that other settings are relative to.",
		Effect: Reload,
		Attributes: []Attribute{
			{Name: "path", Type: String, Required: true, Effect: Reload, Text: "The folder."},
			{Name: "relative-to", Type: String, Literal: true, Effect: Reload, Text: "The name of a path that this one is below."},
		},
	}
}

func rolloutPlan() *Description {
	return &Description{
		Text:   "A stored way to carry a change to the servers.",
		Effect: Live,
		Attributes: []Attribute{
			{Name: "content", Aliases: []string{"plan"}, Type: String, Required: true, Literal: true, Effect: Live,
				Text: "The plan in the syntax of the rollout header: groups in series (a comma between them) or at the same time (^), each with its options in brackets: " +
					"rolling-to-servers, max-failed-servers, max-failure-percentage, batch-size, canary, soak (a time that a server must stay healthy), " +
					"max-error-rate (how many percent of the requests to a server may fail from its restart to the end of its soak, as it counts them and as load balancers see them; without a soak, 30 s) and require-cluster; " +
					"at the end rollback-across-groups."},
		},
	}
}
