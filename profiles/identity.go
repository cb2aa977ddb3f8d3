package profiles

// identity describes the identity server: the guide's chapters "Manage
// Subsystem Configuration", "Profiles", "Hostname", "Outgoing HTTP Requests".
func identity() *Description {
	return &Description{
		Text: "The identity server. WildFly's name is keycloak-server.",
		Attributes: []Attribute{
			{Name: "web-context", Type: String, Default: "auth", Effect: Reload, Text: "The first part of every path, without slashes; / for none."},
			{Name: "display-name", Type: String, Effect: Live, Text: "Shown on the login pages instead of each realm's own name."},
			{Name: "master-realm-name", Type: String, Default: "master", Effect: Restart,
				Text: "The realm whose administrators manage all realms. It is made at the start where there is none of that name; one of another name stays as it is."},
			{Name: "scheduled-task-interval", Type: Long, Default: int64(900), Range: &Range{1, 1 << 31}, Unit: "seconds", Effect: Reload,
				Text: "How often what has expired is cleared away."},
			{Name: "import", Type: List, Effect: Restart, Text: "Realm files that are read at boot, in this order."},
			{Name: "import-strategy", Type: String, Default: "ignore-existing", Allowed: []string{"ignore-existing", "overwrite", "fail"}, Effect: Restart,
				Text: "What an imported realm that exists already means."},
			{Name: "bootstrap-admin-user", Type: String, Effect: Restart, Text: "The administrator that is made with the master realm."},
			{Name: "bootstrap-admin-password", Type: String, Sensitive: true, Effect: Restart, Text: "The administrator's first password."},
			kept(Attribute{Name: "session-persistence", Aliases: []string{"persistence"}, Type: String, Default: "database", Allowed: []string{"database", "volatile"},
				Text: "database: user sessions survive the restart of all servers. volatile: they are in the caches only."}),
			{Name: "feature-profile", Type: String, Default: "default", Allowed: []string{"default", "preview"}, Effect: Restart,
				Text: "preview switches every preview feature on; as -Dkeycloak.profile=preview."},
			{Name: "features", Type: Map, Effect: Restart, Text: "Features by name: enabled or disabled; as -Dkeycloak.profile.feature.<name>=enabled."},
			kept(Attribute{Name: "providers", Type: List, Text: "Taken from Keycloak's files; there are no class path modules to load."}),
		},
		Children: []Child{
			{Type: "theme", Name: "defaults", Implicit: true, Description: themeDefaults()},
			spi("dblock", "jpa", needed, Live, "lockWaitTimeout, lockRecheckTime"), // how long to wait is asked before each wait
			spi("hostname", "default", needed, Live, "frontendUrl"),
			spi("connectionsHttpClient", "default", needed, Reload, "proxy-mappings, disable-trust-manager, connection-pool-size, max-pooled-per-route, socket-timeout-millis, establish-connection-timeout-millis, max-connection-idle-time-millis"),
			spi("connectionsJpa", "default", needed, None),
			spi("connectionsInfinispan", "default", needed, None),
			spi("eventsStore", "jpa", "Without it no event is kept, whatever realms say.", Reload, "include-events, exclude-events"),
			spi("eventsListener", "jboss-logging", "Without it events are not logged.", Reload, "success-level, error-level, exclude-events"),
			spi("stickySessionEncoder", "infinispan", "Without it AUTH_SESSION_ID names no server.", Reload, "shouldAttachRoute"),
			spi("truststore", "file", "Without it outgoing calls trust the machine's authorities only.", Reload, "file, password, disabled, hostname-verification-policy"),
			spi("userCache", "default", "Without it users are read from the database each time.", None),
			spi("realmCache", "default", "Without it realms, clients and what else is in them are read from the database each time.", None),
			spi("timer", "basic", needed, None),
			spi("x509cert-lookup", "default", "", None),
			spi("login-protocol", "openid-connect", needed, None),
			{Type: "spi", Name: Wildcard, Ensured: true, Description: spiOf(Child{Type: "provider", Name: Wildcard, Description: provider("", None)})},
		},
	}
}

// needed says what a server does without a provider.
const needed = "It is the only one, and a server does not start without it."

// spi is a service provider interface that is always there, with the provider
// that is always there. without says what a server does when it is disabled, ""
// for a provider that is known and not acted on; effect is that of its
// properties, None where nobody reads any.
func spi(name, providerName, without string, effect Effect, reads ...string) Child {
	d := spiOf(
		Child{Type: "provider", Name: providerName, Implicit: true, Description: provider(without, effect, reads...)},
		Child{Type: "provider", Name: Wildcard, Description: provider("", None)})
	if without != "" {
		d.Attributes = []Attribute{{Name: "default-provider", Type: String, Allowed: []string{providerName}, Effect: Reload, Text: "The provider to use: there is this one."}}
	}
	return Child{Type: "spi", Name: name, Implicit: true, Description: d}
}

func spiOf(providers ...Child) *Description {
	return &Description{
		Text:       "A service provider interface: a part of the server that can be had from several providers.",
		Effect:     Reload,
		Attributes: []Attribute{kept(Attribute{Name: "default-provider", Type: String, Text: "The provider to use; some interfaces use several."})},
		Children:   providers,
	}
}

// provider has properties that need effect; reads names those that are read.
// With None, nobody reads any.
func provider(without string, effect Effect, reads ...string) *Description {
	properties := Attribute{Name: "properties", Type: Map, Elem: Text, Effect: effect,
		Text: "The provider's own settings. A value between square brackets is a list."}
	for _, names := range reads {
		properties.Text += " Those that are read: " + names + "."
	}
	if effect == None {
		properties = kept(properties)
	}
	enabled := Attribute{Name: "enabled", Type: Bool, Default: true, Effect: Reload, Text: "Whether the provider may be used."}
	if without == "" {
		enabled = kept(enabled)
	} else {
		enabled.Text += " " + without
	}
	return &Description{
		Text:       "An implementation of a service provider interface.",
		Effect:     max(effect, enabled.Effect, Live),
		Attributes: []Attribute{enabled, properties},
	}
}

func themeDefaults() *Description {
	return &Description{
		Text:   "Themes of the login pages, and how long their parts are kept.",
		Effect: Live,
		Attributes: []Attribute{
			{Name: "default", Type: String, Default: "gatehouse", Effect: Live, Text: "The theme where a realm names none."},
			{Name: "welcomeTheme", Type: String, Effect: Live, Text: "The theme of the welcome page."},
			{Name: "cacheThemes", Type: Bool, Default: true, Effect: Live, Text: "Whether themes are kept in memory."},
			{Name: "cacheTemplates", Type: Bool, Default: true, Effect: Live, Text: "Whether templates are kept in memory."},
			{Name: "staticMaxAge", Type: Long, Default: int64(2592000), Range: &Range{-1, 1 << 31}, Unit: "seconds", Effect: Live,
				Text: "How long browsers keep styles, scripts and pictures; -1 for not at all."},
			{Name: "dir", Type: String, Effect: Reload, Text: "The folder with themes of your own."},
			kept(Attribute{Name: "modules", Type: List, Text: "Taken from Keycloak's files; themes come from dir."}),
		},
	}
}
