package profiles

// cluster describes how the servers of a site find and hear each other: the
// guide's chapter "Clustering", and transport stacks of the guide on
// distributed caches.
func cluster() *Description {
	return &Description{
		Text: "The cluster of a site. WildFly's name is jgroups.",
		Attributes: []Attribute{
			{Name: "default-stack", Type: String, Default: "domain", Effect: Restart, Text: "The stack to use."},
			kept(Attribute{Name: "default-channel", Type: String, Text: "Taken from WildFly's files."}),
			kept(Attribute{Name: "site", Type: String, Text: "The site, where it is not the host's."}),
			{Name: "node-name", Type: String, Effect: Restart, Text: "The server's name in the cluster and in cookies, where it is not host.server; as -Djboss.node.name."},
			{Name: "socket-binding", Type: String, Default: "cluster", Literal: true, Reference: "socket-binding", Effect: Restart, Text: "The port that the servers use among themselves."},
		},
		Children: []Child{
			{Type: "stack", Name: "domain", Implicit: true, Description: stack("domain")},
			{Type: "stack", Name: "tcp", Implicit: true, Description: stack("multicast")},
			{Type: "stack", Name: "udp", Implicit: true, Description: stack("multicast")},
			{Type: "stack", Name: "kubernetes", Implicit: true, Description: stack("dns")},
			{Type: "stack", Name: Wildcard, Description: stack("static")},
			{Type: "channel", Name: Wildcard, Description: &Description{
				Text: "Taken from WildFly's files.", Effect: Restart,
				Attributes: []Attribute{
					kept(Attribute{Name: "stack", Type: String, Text: "The channel's stack."}),
					kept(Attribute{Name: "cluster", Type: String, Text: "The cluster's name."}),
				}}},
		},
	}
}

func stack(discovery string) *Description {
	return &Description{
		Text:   "A way to find the other servers. They always speak TCP with mutual TLS.",
		Effect: Restart,
		Attributes: []Attribute{
			{Name: "discovery", Type: String, Default: discovery, Allowed: []string{"domain", "static", "dns", "multicast"}, Effect: Restart,
				Text: "domain: the controllers know. static: initial-hosts. dns: all addresses of dns-query. multicast: as domain."},
			{Name: "initial-hosts", Type: List, Effect: Restart, Text: "host:port of servers to ask."},
			{Name: "dns-query", Type: String, Effect: Restart, Text: "The name whose addresses are the servers'."},
			kept(Attribute{Name: "multicast-socket-binding", Type: String, Literal: true, Text: "The binding with the multicast group."}),
			kept(Attribute{Name: "properties", Type: Map, Text: "Taken from JGroups' files."}),
		},
	}
}
