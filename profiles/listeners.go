package profiles

// web describes what listens for browsers, and the reverse proxy of a load
// balancer: the guide's chapters "Setting up HTTPS/SSL" and "Setting Up a Load
// Balancer or Proxy".
func web() *Description {
	return &Description{
		Text: "Listeners and the load balancer. WildFly's name is undertow.",
		Attributes: []Attribute{
			{Name: "default-server", Type: String, Default: "default-server", Literal: true, Reference: "http-server", Effect: Reload, Text: "The server whose listeners and hosts are used."},
			{Name: "default-virtual-host", Type: String, Default: "default-host", Literal: true, Effect: Reload, Text: "The host that answers requests for a name that no host has, where the server has no default-host."},
			kept(Attribute{Name: "default-servlet-container", Type: String, Text: "Taken from WildFly's files."}),
			{Name: "statistics-enabled", Type: Bool, Default: true, Effect: Reload, Text: "Whether requests are counted for /metrics. What a rollout's gates look at is counted in any case."},
		},
		Children: []Child{
			{Type: "server", Name: Wildcard, Description: webServer()},
			{Type: "buffer-cache", Name: Wildcard, Description: &Description{Text: "Taken from WildFly's files.", Effect: Live}},
			{Type: "configuration", Name: "handler", Implicit: true, Description: &Description{
				Text: "Handlers of requests.", Effect: Reload,
				Children: []Child{{Type: "reverse-proxy", Name: Wildcard, Description: reverseProxy()}}}},
			{Type: "configuration", Name: "filter", Implicit: true, Description: filters()},
		},
	}
}

func webServer() *Description {
	return &Description{
		Text:   "Listeners that belong together.",
		Effect: Reload,
		Attributes: []Attribute{
			{Name: "default-host", Type: String, Literal: true, Reference: "http-host", Effect: Reload, Text: "The host that answers requests for a name that no host has; default-virtual-host when left out."},
			kept(Attribute{Name: "servlet-container", Type: String, Text: "Taken from WildFly's files."}),
		},
		Children: []Child{
			{Type: "http-listener", Name: Wildcard, Description: &Description{
				Text: "A listener for HTTP.", Effect: Reload, Attributes: listener()}},
			{Type: "https-listener", Name: Wildcard, Description: &Description{
				Text: "A listener for HTTPS. It opens when it has a security realm, or certificate files.", Effect: Reload,
				Attributes: append(listener(),
					Attribute{Name: "security-realm", Type: String, Reference: "security-realm", Effect: Reload, Text: "The realm with the certificate and its key."},
					Attribute{Name: "certificate-file", Type: String, Effect: Reload, Text: "PEM: the certificate and its chain, instead of a realm."},
					Attribute{Name: "certificate-key-file", Type: String, Effect: Reload, Text: "PEM: the key."},
					Attribute{Name: "verify-client", Type: String, Default: "NOT_REQUESTED", Allowed: []string{"NOT_REQUESTED", "REQUESTED", "REQUIRED"}, Effect: Reload, Text: "Whether clients show certificates."},
					Attribute{Name: "enabled-protocols", Type: List, Effect: Reload, Text: "The protocols to speak: TLSv1.2, TLSv1.3."})}},
			{Type: "ajp-listener", Name: Wildcard, Description: &Description{
				Text: "Taken from WildFly's files; AJP is not spoken.", Effect: Reload,
				Attributes: []Attribute{
					kept(Attribute{Name: "socket-binding", Type: String, Required: true, Literal: true, Text: "Its port."}),
					kept(Attribute{Name: "enabled", Type: Bool, Default: true, Text: "Nothing is done with it."}),
				}}},
			{Type: "host", Name: Wildcard, Description: virtualHost()},
		},
	}
}

func listener() []Attribute {
	millis := func(name string, def int64, text string) Attribute {
		return Attribute{Name: name, Type: Int, Default: def, Range: &Range{0, 1 << 31}, Unit: "milliseconds", Effect: Reload, Text: text}
	}
	return []Attribute{
		{Name: "socket-binding", Type: String, Required: true, Literal: true, Reference: "socket-binding", Effect: Reload, Text: "The port."},
		{Name: "enabled", Type: Bool, Default: true, Effect: Reload, Text: "Whether it listens."},
		{Name: "proxy-address-forwarding", Type: Bool, Default: false, Effect: Reload,
			Text: "The client's address and scheme come from X-Forwarded-For, -Proto and -Host. Only behind a proxy that sets them."},
		{Name: "redirect-socket", Type: String, Literal: true, Reference: "socket-binding", Effect: Reload, Text: "The binding whose port a browser is sent to that comes without TLS to a realm that needs it; where an https-listener is open and no proxy stands before."},
		{Name: "enable-http2", Type: Bool, Default: true, Effect: Reload, Text: "Whether HTTP/2 is spoken."},
		{Name: "max-post-size", Type: Size, Default: int64(10 << 20), Effect: Reload, Unit: "bytes", Text: "The largest request body; 0 for any."},
		{Name: "max-header-size", Type: Size, Default: int64(1 << 20), Effect: Reload, Unit: "bytes", Text: "The largest request header."},
		{Name: "max-connections", Type: Int, Range: &Range{1, 1 << 31}, Effect: Reload, Text: "The most connections at one moment."},
		millis("no-request-timeout", 60000, "How long a connection may be idle."),
		millis("request-parse-timeout", 10000, "How long a request's header may take."),
		millis("read-timeout", 90000, "How long a request's body may take."),
		millis("write-timeout", 90000, "How long an answer may take."),
		{Name: "trusted-proxies", Type: List, Effect: Reload, Text: "Networks whose forwarded headers are believed; all when left out."},
	}
}

func virtualHost() *Description {
	return &Description{
		Text:   "A name that requests are for, with filters and an access log of its own. All hosts serve the same pages; a load balancer's handler is that of the default host.",
		Effect: Reload,
		Attributes: []Attribute{
			{Name: "alias", Type: List, Effect: Reload, Text: "Further names, without ports."},
			kept(Attribute{Name: "default-web-module", Type: String, Text: "Taken from WildFly's files."}),
		},
		Children: []Child{
			{Type: "location", Name: Wildcard, Description: &Description{
				Text: "A path and its handler.", Effect: Reload,
				Attributes: []Attribute{{Name: "handler", Type: String, Required: true, Literal: true, Reference: "handler", Effect: Reload, Text: "The handler's name."}}}},
			{Type: "filter-ref", Name: Wildcard, Description: &Description{
				Text: "A filter that requests pass.", Effect: Reload,
				Attributes: []Attribute{
					{Name: "predicate", Type: String, Effect: Reload, Text: "Which requests pass the filter, as path-prefix(/auth) and not method(GET); all when left out. " +
						"Known: true, false, secure, path, path-prefix, path-suffix, method, regex, equals, contains, exists; %{i,Header}, %{c,Cookie}, %{q,parameter}, %m, %U, %q, %H, %v, %a, %{SCHEME}; and, or, not."},
					{Name: "priority", Type: Int, Default: int64(1), Range: &Range{0, 1 << 20}, Effect: Reload, Text: "The lower, the earlier."},
				}}},
			{Type: "setting", Name: "access-log", Description: &Description{
				Text: "A record of every request.", Effect: Reload,
				Attributes: []Attribute{
					{Name: "pattern", Type: String, Default: "common", Effect: Reload, Text: "The form: common or combined, without queries. The lines of a load balancer have fields of their own."},
					{Name: "enabled", Type: Bool, Default: true, Effect: Reload, Text: "Whether it is kept."},
				}}},
		},
	}
}

// reverseProxy is the load balancer's handler. Servers of the groups in
// discover-groups are found in the domain; hosts are further ones.
func reverseProxy() *Description {
	return &Description{
		Text:   "A load balancer.",
		Effect: Reload,
		Attributes: []Attribute{
			{Name: "discover-groups", Type: List, Literal: true, Reference: "server-group", Effect: Live, Text: "Server groups whose servers are found by themselves."},
			{Name: "session-cookie-names", Type: String, Default: "AUTH_SESSION_ID", Effect: Live, Text: "Cookies whose value ends with .<node>, separated by commas: requests stick to that node."},
			{Name: "connections-per-thread", Type: Int, Default: int64(256), Range: &Range{1, 1 << 20}, Effect: Live, Text: "Idle connections kept for each server."},
			{Name: "max-request-time", Type: Int, Default: int64(-1), Range: &Range{-1, 1 << 31}, Unit: "milliseconds", Effect: Live, Text: "How long a request may take; -1 for ever."},
			{Name: "max-retries", Type: Int, Default: int64(2), Range: &Range{0, 100}, Effect: Live, Text: "How often an idempotent request is sent to another server."},
			{Name: "max-queue-time", Type: Int, Default: int64(2000), Range: &Range{0, 60000}, Unit: "milliseconds", Effect: Live,
				Text: "How long a request waits for a server while none can be reached, as when the only one restarts; 0 for not at all. Never longer than max-request-time."},
			{Name: "max-queued-requests", Type: Int, Default: int64(1000), Range: &Range{1, 1 << 20}, Effect: Live, Text: "How many requests wait at one moment; further ones are answered 503."},
			{Name: "problem-server-retry", Type: Int, Default: int64(30), Range: &Range{1, 86400}, Unit: "seconds", Effect: Live, Text: "How long a failing server is left out at most."},
			{Name: "health-check-interval", Type: Int, Default: int64(1000), Range: &Range{50, 600000}, Unit: "milliseconds", Effect: Live, Text: "How often each server is asked whether it is ready."},
			{Name: "health-check-path", Type: String, Default: "/health/ready", Effect: Live, Text: "What it is asked."},
		},
		Children: []Child{{Type: "host", Name: Wildcard, Description: &Description{
			Text: "A server behind the load balancer.", Effect: Live,
			Attributes: []Attribute{
				{Name: "outbound-socket-binding", Type: String, Required: true, Literal: true, Reference: "outbound-socket-binding", Effect: Live, Text: "Its address."},
				{Name: "scheme", Type: String, Default: "http", Allowed: []string{"http", "https", "ajp"}, Effect: Live, Text: "How it is spoken to; ajp is taken as http."},
				{Name: "path", Type: String, Default: "/", Effect: Live, Text: "Put before every path."},
				{Name: "instance-id", Type: String, Effect: Live, Text: "The node in the cookie; unique."},
				{Name: "security-realm", Type: String, Reference: "security-realm", Effect: Reload, Text: "The realm with the trust store that its certificate is checked with."},
			}}}},
	}
}

func filters() *Description {
	return &Description{
		Text:   "Filters that a host may name.",
		Effect: Reload,
		Children: []Child{
			{Type: "response-header", Name: Wildcard, Description: &Description{
				Text: "A header of every answer.", Effect: Reload,
				Attributes: []Attribute{
					{Name: "header-name", Type: String, Required: true, Effect: Reload, Text: "Its name."},
					{Name: "header-value", Type: String, Required: true, Effect: Reload, Text: "Its value."},
				}}},
			{Type: "request-limit", Name: Wildcard, Description: &Description{
				Text: "A limit of requests at one moment.", Effect: Reload,
				Attributes: []Attribute{
					{Name: "max-concurrent-requests", Type: Int, Required: true, Range: &Range{1, 1 << 31}, Effect: Reload, Text: "How many run."},
					{Name: "queue-size", Type: Int, Default: int64(0), Range: &Range{0, 1 << 31}, Effect: Reload, Text: "How many wait."},
				}}},
			{Type: "gzip", Name: Wildcard, Description: &Description{Text: "Answers are compressed.", Effect: Reload}},
			{Type: "custom-filter", Name: Wildcard, Description: &Description{
				Text: "Taken from WildFly's files. ProxyPeerAddressHandler is proxy-address-forwarding.", Effect: Reload,
				Attributes: []Attribute{
					{Name: "class-name", Type: String, Effect: Reload, Text: "The class: ProxyPeerAddressHandler."},
					kept(Attribute{Name: "module", Type: String, Text: "The module."}),
					kept(Attribute{Name: "parameters", Type: Map, Text: "Its settings."}),
				}}},
		},
	}
}
