package profiles

// host describes one machine of a domain.
func host() *Description {
	return &Description{
		Text:   "A machine: its servers, its addresses, its secrets.",
		Effect: Live,
		Attributes: []Attribute{
			{Name: "site", Type: String, Default: "default", Effect: Restart, Text: "The data center. Servers of one site form one cluster."},
			{Name: "description", Type: String, Effect: Live, Text: "What the machine is, for people."},
		},
		Children: []Child{
			{Type: "server-config", Name: Wildcard, Description: serverConfig()},
			{Type: "interface", Name: Wildcard, Description: networkInterface()},
			{Type: "system-property", Name: Wildcard, Description: systemProperty()},
			{Type: "path", Name: Wildcard, Description: path()},
			{Type: "process", Name: Wildcard, Description: process()},
			{Type: "core-service", Name: "management", Implicit: true, Description: managementService(false)},
			{Type: "server", Name: Wildcard, Runtime: true, Description: runningServer()},
		},
		Runtime: []Attribute{
			{Name: "host-state", Type: String, Text: "running or disconnected."},
			{Name: "version", Type: String, Text: "The version of its agent."},
			{Name: "address", Type: String, Text: "Where it connects from."},
			{Name: "applied-revision", Type: Long, Text: "The newest revision that it took."},
			{Name: "clock-skew-ms", Type: Long, Unit: "milliseconds", Text: "How far its clock is ahead of the controller's."},
			{Name: "warnings", Type: List, Text: "What an operator should look at."},
			{Name: "since", Type: String, Text: "Since when it is connected, or is not."},
			{Name: "cores", Type: Int, Text: "Its processor cores."},
			{Name: "memory-bytes", Type: Long, Unit: "bytes", Text: "Its memory."},
			{Name: "disk-free-bytes", Type: Long, Unit: "bytes", Text: "Free space where the agent keeps its files."},
			{Name: "operating-system", Type: String, Text: "Its operating system."},
			{Name: "pid", Type: Int, Text: "The agent's process."},
		},
		Operations: append(bulkOperations(), supportBundle(),
			OperationDescription{Name: "reload", Text: "Start the host agent's services anew, from its file; servers keep running.", Runtime: true},
			OperationDescription{Name: "shutdown", Text: "Stop the host's servers and its agent.", Runtime: true, Params: []Attribute{
				{Name: "restart", Type: Bool, Default: false, Text: "Start the agent's program again instead, as it is installed now; servers keep running."},
			}}),
	}
}

func serverConfig() *Description {
	return &Description{
		Text:   "A server that the host keeps.",
		Effect: Live,
		Attributes: []Attribute{
			{Name: "group", Type: String, Required: true, Literal: true, Reference: "server-group", Effect: Restart, Text: "The server's group."},
			{Name: "auto-start", Type: Bool, Default: true, Effect: Live, Text: "Whether the server starts with its host."},
			{Name: "update-auto-start-with-server-status", Type: Bool, Default: false, Effect: None,
				Text: "Whether an operator's start or stop of the server becomes its auto-start."},
			{Name: "restart-policy", Type: String, Default: "always", Allowed: []string{"always", "on-failure", "never"}, Effect: Live,
				Text: "Whether the server starts again when it ends by itself."},
			{Name: "socket-binding-group", Type: String, Literal: true, Reference: "socket-binding-group", Effect: Restart,
				Text: "The server's ports, instead of its group's."},
			{Name: "socket-binding-port-offset", Aliases: []string{"port-offset"}, Type: Int, Range: &Range{-65535, 65535}, Effect: Restart,
				Text: "Added to every port of the server; the group's when left out."},
			{Name: "socket-binding-default-interface", Type: String, Literal: true, Reference: "interface", Effect: Restart,
				Text: "The interface of bindings that name none."},
		},
		Children: []Child{
			{Type: "interface", Name: Wildcard, Description: networkInterface()},
			{Type: "system-property", Name: Wildcard, Description: systemProperty()},
			{Type: "path", Name: Wildcard, Description: path()},
			{Type: "process", Name: Wildcard, Description: process()},
		},
		Runtime:    []Attribute{{Name: "status", Type: String, Text: "The state of the server, as of the running server; STOPPED when its host does not report it."}},
		Operations: serverOperations(),
	}
}

// runningServer is answered by what runs.
func runningServer() *Description {
	logs := &Description{Text: "What the server wrote about itself.", Operations: logFileOperations()}
	return &Description{Text: "A server as it runs now.", Operations: serverOperations(),
		Children: []Child{{Type: "subsystem", Name: "logging", Runtime: true, Description: logs}}, Runtime: []Attribute{
			{Name: "name", Type: String, Text: "Its name."},
			{Name: "host", Type: String, Text: "Its host."},
			{Name: "server-group", Type: String, Text: "Its group."},
			{Name: "profile-name", Type: String, Text: "The profile that it booted from."},
			{Name: "server-state", Type: String, Text: "running, reload-required, restart-required, or what status says."},
			{Name: "status", Type: String, Text: "STARTING, STARTED, STOPPING, STOPPED, SUSPENDED, BACKOFF, FAILED, DISABLED."},
			{Name: "healthy", Type: Bool, Text: "Whether it is ready."},
			{Name: "revision", Type: Long, Text: "The revision whose configuration it runs."},
			{Name: "node", Type: String, Text: "Its name in the cluster."},
			{Name: "site", Type: String, Text: "Its site."},
			{Name: "address", Type: String, Text: "Where it listens."},
			{Name: "ports", Type: Map, Elem: Int, Text: "Its ports by socket binding."},
			{Name: "pid", Type: Int, Text: "Its process."},
			{Name: "restarts", Type: Int, Text: "How often it ended by itself and was started again."},
			{Name: "since", Type: String, Text: "Since when it is in its state."},
			{Name: "started", Type: String, Text: "When its process started."},
			{Name: "message", Type: String, Text: "Why it is in its state, where that needs words."},
			{Name: "cluster-members", Type: List, Text: "The members of the cluster as it sees them."},
			{Name: "version", Type: String, Text: "The version of its program."},
			{Name: "usage", Type: Object, Text: "Processor time, memory, files, connections, requests and answers with 5xx."},
		}}
}

func serverOperations() []OperationDescription {
	blocking := Attribute{Name: "blocking", Type: Bool, Default: true, Text: "Wait until it is done."}
	timeout := suspendTimeout()
	op := func(name, text string, params ...Attribute) OperationDescription {
		return OperationDescription{Name: name, Text: text, Runtime: true, Params: params}
	}
	return []OperationDescription{
		op("start", "Start the server.", blocking),
		op("stop", "Stop the server.", blocking, timeout),
		op("restart", "Stop and start the server.", blocking, timeout),
		op("reload", "Start the server's services anew, in the same process.", blocking),
		op("suspend", "Finish running requests and take no new ones.", timeout),
		op("resume", "Take requests again."),
		op("kill", "Kill the process."),
		op("destroy", "Kill the process and everything that it started."),
		{Name: "read-log", Text: "The newest lines of the server's log.", ReadOnly: true, Runtime: true, Reply: List,
			Params: []Attribute{
				{Name: "lines", Type: Int, Default: int64(50), Range: &Range{1, 10000}, Text: "How many."},
				{Name: "follow", Type: Bool, Default: false, Text: "Go on with new lines."},
				{Name: "timeout", Type: Int, Range: &Range{1, 1 << 20}, Unit: "seconds", Text: "How long the host may take."},
			}},
	}
}

// logFileOperations read the files in a server's log folder.
func logFileOperations() []OperationDescription {
	return []OperationDescription{
		{Name: "list-log-files", Text: "The log files: name, size in bytes, time of the last change.", ReadOnly: true, Runtime: true, Reply: List},
		{Name: "read-log-file", Text: "Lines of a log file, also of a compressed one.", ReadOnly: true, Runtime: true, Reply: List,
			Params: []Attribute{
				{Name: "name", Type: String, Literal: true, Required: true, Text: "The file's name, as list-log-files gives it."},
				{Name: "lines", Type: Int, Default: int64(50), Range: &Range{-1, 10000}, Text: "How many; -1 for as many as may be."},
				{Name: "skip", Type: Int, Default: int64(0), Range: &Range{0, 1 << 30}, Text: "How many to leave out first, from the side that tail says."},
				{Name: "tail", Type: Bool, Default: true, Text: "From the end of the file; from its beginning otherwise."},
				{Name: "follow", Type: Bool, Default: false, Text: "Go on with new lines."},
				{Name: "timeout", Type: Int, Range: &Range{1, 1 << 20}, Unit: "seconds", Text: "How long the host may take."},
			}},
	}
}
