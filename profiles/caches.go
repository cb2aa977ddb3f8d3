package profiles

// caches describes the caches: the guide's chapter "Server Cache
// Configuration" and the guide on distributed caches.
func caches() *Description {
	return &Description{
		Text:     "Caches. WildFly's name is infinispan.",
		Children: []Child{{Type: "cache-container", Name: Wildcard, Description: cacheContainer()}},
	}
}

func cacheContainer() *Description {
	kind := func(typ, text string, attrs ...Attribute) Child {
		return Child{Type: typ, Name: Wildcard, Description: cache(text, attrs...)}
	}
	return &Description{
		Text:   "A set of caches. The identity server uses keycloak.",
		Effect: Restart,
		Attributes: []Attribute{
			{Name: "engine", Type: String, Default: "embedded", Allowed: []string{"embedded", "redis"}, Effect: Restart,
				Text: "embedded: in the servers' memory. redis: in an external Redis, Valkey or Infinispan."},
			{Name: "remote-servers", Type: List, Effect: Restart, Text: "Addresses of the external servers, host:port."},
			{Name: "remote-username", Type: String, Effect: Restart, Text: "The user at the external servers."},
			{Name: "remote-password", Type: String, Sensitive: true, Effect: Restart, Text: "The password at the external servers."},
			{Name: "remote-tls", Type: Bool, Default: false, Effect: Restart, Text: "Whether the external servers speak TLS."},
			{Name: "statistics-enabled", Type: Bool, Default: true, Effect: Reload, Text: "Whether hits and misses are counted."},
			{Name: "default-cache", Type: String, Effect: None, Text: "Taken from WildFly's files."},
			{Name: "module", Type: String, Effect: None, Text: "Taken from WildFly's files."},
		},
		Children: []Child{
			{Type: "transport", Name: "jgroups", Implicit: true, Description: &Description{
				Text: "How the servers of a site speak to each other about caches.", Effect: Restart,
				Attributes: []Attribute{
					{Name: "lock-timeout", Type: Long, Default: int64(60000), Range: &Range{1, 1 << 31}, Unit: "milliseconds", Effect: Reload, Text: "How long a write waits for the owners."},
					{Name: "stack", Type: String, Effect: Restart, Text: "The cluster's stack, where it is not the default one."},
					{Name: "channel", Type: String, Effect: Restart, Text: "Taken from WildFly's files."},
				}}},
			kind("local-cache", "A cache of each server for itself."),
			kind("distributed-cache", "A cache whose entries live on some servers of the site.",
				Attribute{Name: "owners", Type: Int, Default: int64(2), Range: &Range{1, 16}, Unit: "servers", Effect: Reload, Text: "How many servers hold an entry; owners - 1 crashes at once lose none."},
				Attribute{Name: "segments", Type: Int, Default: int64(256), Range: &Range{1, 65536}, Effect: Restart, Text: "The parts that are placed on servers."},
				Attribute{Name: "split-brain", Aliases: []string{"merge-policy"}, Type: String, Allowed: []string{"merge", "refuse", "database"}, Effect: Reload,
					Text: "When the site falls apart: entries merge by version and time, the side without a majority refuses writes, or the database decides."},
				Attribute{Name: "l1-lifespan", Type: Long, Default: int64(0), Range: &Range{-1, 1 << 40}, Unit: "milliseconds", Effect: Reload, Text: "How long others than the owners keep what they asked for; 0 for not at all."}),
			kind("replicated-cache", "A cache whose entries live on every server of the site."),
		},
	}
}

func cache(text string, attrs ...Attribute) *Description {
	return &Description{
		Text:   text,
		Effect: Restart,
		Attributes: append(attrs,
			Attribute{Name: "statistics-enabled", Type: Bool, Default: true, Effect: Reload, Text: "Whether hits and misses are counted."},
			Attribute{Name: "configuration", Type: String, Effect: None, Text: "Taken from Infinispan's files."},
			Attribute{Name: "mode", Type: String, Default: "SYNC", Allowed: []string{"SYNC", "ASYNC"}, Effect: Reload, Text: "Whether a write waits for the others."}),
		Children: []Child{
			{Type: "memory", Name: "object", Implicit: true, Description: &Description{
				Text: "How much is kept.", Effect: Reload,
				Attributes: []Attribute{
					{Name: "size", Aliases: []string{"max-count"}, Type: Long, Default: int64(-1), Range: &Range{-1, 1 << 40}, Unit: "entries", Effect: Reload, Text: "The most entries; -1 for no limit."},
				}}},
			{Type: "component", Name: "expiration", Implicit: true, Description: &Description{
				Text: "How long entries are kept.", Effect: Reload,
				Attributes: []Attribute{
					{Name: "lifespan", Type: Long, Default: int64(-1), Range: &Range{-1, 1 << 50}, Unit: "milliseconds", Effect: Reload, Text: "After they were written; -1 for ever."},
					{Name: "max-idle", Type: Long, Default: int64(-1), Range: &Range{-1, 1 << 50}, Unit: "milliseconds", Effect: Reload, Text: "After they were last used; -1 for ever."},
					{Name: "interval", Type: Long, Default: int64(60000), Range: &Range{-1, 1 << 40}, Unit: "milliseconds", Effect: Reload, Text: "How often they are cleared away."},
				}}},
			{Type: "store", Name: "remote", Description: remoteStore()},
		},
	}
}

// remoteStore is from the guide's chapter "Cross-Datacenter Replication Mode".
func remoteStore() *Description {
	flag := func(name string, def bool) Attribute {
		return Attribute{Name: name, Type: Bool, Default: def, Effect: Restart, Text: "As in Infinispan."}
	}
	return &Description{
		Text:   "The site cache behind a cache.",
		Effect: Restart,
		Attributes: []Attribute{
			{Name: "cache", Type: String, Effect: Restart, Text: "The cache's name there; its own when left out."},
			{Name: "remote-servers", Type: List, Effect: Restart, Text: "Outbound socket bindings of the site cache's servers."},
			{Name: "properties", Type: Map, Effect: Restart, Text: "Settings of the connection, as protocolVersion."},
			{Name: "socket-timeout", Type: Long, Default: int64(60000), Range: &Range{1, 1 << 31}, Unit: "milliseconds", Effect: Restart, Text: "How long an answer is waited for."},
			flag("passivation", false), flag("fetch-state", false), flag("purge", false), flag("preload", false), flag("shared", true),
		},
	}
}
