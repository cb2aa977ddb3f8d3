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
		return Child{Type: typ, Name: Wildcard, Description: cache(text, kept(cacheSize()), attrs...)}
	}
	distributed := func(text string, attrs ...Attribute) Child {
		return Child{Type: "distributed-cache", Name: Wildcard, Description: distributedCache(text, attrs...)}
	}
	bounded := func(name, text string) Child {
		return Child{Type: "local-cache", Name: name, Description: cache(text, cacheSize())}
	}
	return &Description{
		Text:   "A set of caches. The identity server uses keycloak.",
		Effect: Restart,
		Attributes: []Attribute{
			kept(Attribute{Name: "engine", Type: String, Default: "embedded", Allowed: []string{"embedded", "redis"},
				Text: "embedded: in the servers' memory. redis: in an external Redis, Valkey or Infinispan."}),
			kept(Attribute{Name: "remote-servers", Type: List, Text: "Addresses of the external servers, host:port."}),
			kept(Attribute{Name: "remote-username", Type: String, Text: "The user at the external servers."}),
			kept(Attribute{Name: "remote-password", Type: String, Sensitive: true, Text: "The password at the external servers."}),
			kept(Attribute{Name: "remote-tls", Type: Bool, Default: false, Text: "Whether the external servers speak TLS."}),
			{Name: "statistics-enabled", Type: Bool, Default: true, Effect: Reload, Text: "Whether hits and misses of the distributed caches are counted."},
			kept(Attribute{Name: "default-cache", Type: String, Text: "Taken from WildFly's files."}),
			kept(Attribute{Name: "module", Type: String, Text: "Taken from WildFly's files."}),
		},
		Children: []Child{
			{Type: "transport", Name: "jgroups", Implicit: true, Description: &Description{
				Text: "How the servers of a site speak to each other about caches.", Effect: Restart,
				Attributes: []Attribute{
					kept(Attribute{Name: "lock-timeout", Type: Long, Default: int64(60000), Range: &Range{1, 1 << 31}, Unit: "milliseconds", Text: "How long a write waits for the owners."}),
					kept(Attribute{Name: "stack", Type: String, Text: "The cluster's stack, where it is not the default one."}),
					kept(Attribute{Name: "channel", Type: String, Text: "Taken from WildFly's files."}),
				}}},
			bounded("realms", "Realms, clients, roles and what else is not a user, in each server's memory."),
			bounded("users", "Users, in each server's memory."),
			kind("local-cache", "A cache of each server for itself."),
			distributed("A cache whose entries live on some servers of the site. Sessions are served from sessions and offlineSessions, and each has its client sessions with it; what the other ones name is in the database.",
				Attribute{Name: "owners", Type: Int, Default: int64(2), Range: &Range{1, 16}, Unit: "servers", Effect: Reload, Text: "How many servers hold an entry of sessions or offlineSessions; owners - 1 crashes at once lose none."},
				kept(Attribute{Name: "segments", Type: Int, Default: int64(256), Range: &Range{1, 65536}, Text: "The parts that are placed on servers: always 256."}),
				kept(Attribute{Name: "split-brain", Aliases: []string{"merge-policy"}, Type: String, Allowed: []string{"merge", "refuse", "database"},
					Text: "When the site falls apart: entries merge by version and time, the side without a majority refuses writes, or the database decides."}),
				kept(Attribute{Name: "l1-lifespan", Type: Long, Default: int64(0), Range: &Range{-1, 1 << 40}, Unit: "milliseconds", Text: "How long others than the owners keep what they asked for; 0 for not at all."})),
			kind("replicated-cache", "A cache whose entries live on every server of the site."),
		},
	}
}

// distributedCache is cache with what sessions and offlineSessions heed.
func distributedCache(text string, attrs ...Attribute) *Description {
	size := cacheSize()
	size.Text = "The most entries of one server; sessions beyond them are read from the database. -1 for no limit."
	d := cache(text, size, attrs...)
	for i, a := range d.Attributes {
		if a.Name == "statistics-enabled" {
			d.Attributes[i] = Attribute{Name: a.Name, Type: a.Type, Default: a.Default, Effect: Reload, Text: "Whether hits and misses are counted."}
		}
	}
	for _, c := range d.Children {
		if c.Type != "component" {
			continue
		}
		c.Description.Attributes[0] = Attribute{Name: "lifespan", Type: Long, Default: int64(-1), Range: &Range{-1, 1 << 50}, Unit: "milliseconds", Effect: Reload,
			Text: "After they were written, and at most as long as the session lives; -1 for no limit but that. The session itself stays in the database."}
		c.Description.Attributes[1] = Attribute{Name: "max-idle", Type: Long, Default: int64(-1), Range: &Range{-1, 1 << 50}, Unit: "milliseconds", Effect: Reload,
			Text: "After they were last read or written, on all owners; -1 for ever. The session itself stays in the database."}
		c.Description.Attributes[2] = Attribute{Name: "interval", Type: Long, Default: int64(60000), Range: &Range{-1, 1 << 40}, Unit: "milliseconds", Effect: Reload,
			Text: "How often those that have expired are cleared away; -1 for every 10 s."}
	}
	return d
}

func cacheSize() Attribute {
	return Attribute{Name: "size", Aliases: []string{"max-count"}, Type: Long, Default: int64(-1), Range: &Range{-1, 1 << 40}, Unit: "entries", Effect: Reload, Text: "The most entries; -1 for no limit."}
}

func cache(text string, size Attribute, attrs ...Attribute) *Description {
	return &Description{
		Text:   text,
		Effect: Restart,
		Attributes: append(attrs,
			kept(Attribute{Name: "statistics-enabled", Type: Bool, Default: true, Text: "Whether hits and misses are counted."}),
			kept(Attribute{Name: "configuration", Type: String, Text: "Taken from Infinispan's files."}),
			kept(Attribute{Name: "mode", Type: String, Default: "SYNC", Allowed: []string{"SYNC", "ASYNC"}, Text: "Whether a write waits for the others."})),
		Children: []Child{
			{Type: "memory", Name: "object", Implicit: true, Description: &Description{
				Text: "How much is kept.", Effect: Reload,
				Attributes: []Attribute{size}}},
			{Type: "component", Name: "expiration", Implicit: true, Description: &Description{
				Text: "How long entries are kept.", Effect: Reload,
				Attributes: []Attribute{
					kept(Attribute{Name: "lifespan", Type: Long, Default: int64(-1), Range: &Range{-1, 1 << 50}, Unit: "milliseconds", Text: "After they were written; -1 for ever."}),
					kept(Attribute{Name: "max-idle", Type: Long, Default: int64(-1), Range: &Range{-1, 1 << 50}, Unit: "milliseconds", Text: "After they were last used; -1 for ever."}),
					kept(Attribute{Name: "interval", Type: Long, Default: int64(60000), Range: &Range{-1, 1 << 40}, Unit: "milliseconds", Text: "How often they are cleared away."}),
				}}},
			{Type: "store", Name: "remote", Description: remoteStore()},
		},
	}
}

// remoteStore is from the guide's chapter "Cross-Datacenter Replication Mode".
func remoteStore() *Description {
	flag := func(name string, def bool) Attribute {
		return kept(Attribute{Name: name, Type: Bool, Default: def, Text: "As in Infinispan."})
	}
	return &Description{
		Text:   "The site cache behind a cache.",
		Effect: Restart,
		Attributes: []Attribute{
			kept(Attribute{Name: "cache", Type: String, Text: "The cache's name there; its own when left out."}),
			kept(Attribute{Name: "remote-servers", Type: List, Text: "Outbound socket bindings of the site cache's servers."}),
			kept(Attribute{Name: "properties", Type: Map, Text: "Settings of the connection, as protocolVersion."}),
			kept(Attribute{Name: "socket-timeout", Type: Long, Default: int64(60000), Range: &Range{1, 1 << 31}, Unit: "milliseconds", Text: "How long an answer is waited for."}),
			flag("passivation", false), flag("fetch-state", false), flag("purge", false), flag("preload", false), flag("shared", true),
		},
	}
}
