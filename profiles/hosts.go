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
		Operations: serverOperations(),
	}
}

// runningServer is answered by what runs.
func runningServer() *Description {
	return &Description{Text: "A server as it runs now.", Operations: serverOperations()}
}

func serverOperations() []OperationDescription {
	blocking := Attribute{Name: "blocking", Type: Bool, Default: true, Text: "Wait until it is done."}
	timeout := Attribute{Name: "suspend-timeout", Aliases: []string{"timeout"}, Type: Int, Default: int64(0), Unit: "seconds",
		Text: "How long running requests are waited for."}
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
			}},
	}
}
