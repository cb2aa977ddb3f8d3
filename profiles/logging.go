package profiles

import "strings"

// logging describes what a server writes about itself. All of it is applied
// while the server runs.
func logging() *Description {
	handlers := Attribute{Name: "handlers", Type: List, Reference: handlerReference, Effect: Live}
	rootHandlers, ownHandlers := handlers, handlers
	rootHandlers.Text = "The handlers that write; every console-handler when left out."
	ownHandlers.Text = "Handlers that write what this category logs, beside those of the category above."
	level, ownLevel := logLevel("INFO"), logLevel(nil)
	ownLevel.Text = "The least level that is written; that of the category above when left out."
	return &Description{
		Text: "Logging. A change is applied while the server runs; a handler that cannot write says so once on the process's output and is tried again.",
		Children: append([]Child{
			{Type: "root-logger", Name: "ROOT", Implicit: true, Description: &Description{
				Text: "What holds for every logger.", Effect: Live, Attributes: []Attribute{level, rootHandlers}}},
			{Type: "logger", Name: Wildcard, Description: &Description{
				Text: "What holds for a category and those below it. " + categoriesText(), Effect: Live,
				Attributes: []Attribute{ownLevel, ownHandlers,
					{Name: "use-parent-handlers", Type: Bool, Default: true, Effect: Live, Text: "Whether the handlers of the category above write too."},
					{Name: "category", Type: String, Effect: Live, Text: "The category, where the resource has another name."},
				}}},
			formatter("PATTERN", patternForm), formatter("COLOR-PATTERN", patternForm), formatter(Wildcard, patternForm),
			{Type: "json-formatter", Name: Wildcard, Description: &Description{
				Text: "A name for the form of lines that json is.", Effect: Live}},
		}, logHandlers()...),
	}
}

// handlerReference names a log handler of any type, formatterReference the form
// of its lines.
const (
	handlerReference   = "log-handler"
	formatterReference = "log-formatter"
)

// handlerTypes are the types of log handlers.
var handlerTypes = []string{"console-handler", "file-handler", "periodic-rotating-file-handler", "size-rotating-file-handler", "syslog-handler"}

// patternForm is the form of WildFly's formatter PATTERN, without the thread.
const patternForm = "%d{yyyy-MM-dd HH:mm:ss,SSS} %-5p [%c] %s%e%n"

func logLevel(def any) Attribute {
	return Attribute{Name: "level", Type: String, Default: def, Effect: Live,
		Allowed: []string{"ALL", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF"}, Text: "The least level that is written."}
}

// formatter is a named form of lines; those of WildFly's files are always there.
func formatter(name, def string) Child {
	return Child{Type: "pattern-formatter", Name: name, Implicit: name != Wildcard, Description: &Description{
		Text:   "A form of lines.",
		Effect: Live,
		Attributes: []Attribute{
			{Name: "pattern", Type: String, Default: def, Literal: true, Effect: Live,
				Text: "Text in which %d{yyyy-MM-dd HH:mm:ss,SSS} is the time, %p the level, %c{n} the category or its last n words, %s the message and its fields, %e the error, " +
					"%m both, %X{name} a field, %i the process, %h and %H the host, %t the thread, always main, %n the end of the line, %% a percent sign. %-5p is at least 5 wide. %K, colours, gives nothing."},
			kept(Attribute{Name: "color-map", Type: String, Text: "Taken from WildFly's files."}),
		},
	}}
}

func logHandlers() []Child {
	handler := func(typ, text string, attrs ...Attribute) Child {
		level := logLevel("ALL")
		level.Text = "The least level that this handler writes."
		return Child{Type: typ, Name: Wildcard, Description: &Description{Text: text, Effect: Live, Attributes: append([]Attribute{level,
			{Name: "format", Aliases: []string{"named-formatter", "formatter"}, Type: String, Default: "auto", Literal: true, Reference: formatterReference, Effect: Live,
				Text: "auto: for people on a terminal, JSON otherwise; text: pattern-formatter PATTERN where it is no terminal; json; a pattern; or the name of a pattern-formatter or json-formatter."},
			{Name: "enabled", Type: Bool, Default: true, Effect: Live, Text: "Whether it writes."}}, attrs...)}}
	}
	file := []Attribute{
		{Name: "file", Type: Object, Required: true, Effect: Live,
			Text: "path of the file, and relative-to: the name of a path that it is below, as jboss.server.log.dir. Without that it is below the server's folder."},
		{Name: "append", Type: Bool, Default: true, Effect: Live, Text: "Whether what is in the file when the server starts stays."},
		kept(Attribute{Name: "autoflush", Type: Bool, Default: true, Text: "Taken from WildFly's files; every line is written at once."}),
		kept(Attribute{Name: "encoding", Type: String, Text: "Taken from WildFly's files; lines are UTF-8."}),
	}
	return []Child{
		handler("console-handler", "Writes to the process's output."),
		handler("file-handler", "Writes to a file.", file...),
		handler("periodic-rotating-file-handler", "Writes to a file a day.", append(file[:len(file):len(file)],
			Attribute{Name: "suffix", Type: String, Default: ".yyyy-MM-dd", Effect: Live,
				Text: "What is put behind the name of a file whose time is over: a form as of Java's SimpleDateFormat, whose smallest part says how often. .yyyy-MM-dd-HH is every hour."})...),
		handler("size-rotating-file-handler", "Writes to a file until it is large.", append(file[:len(file):len(file)],
			Attribute{Name: "rotate-size", Type: Size, Default: "10m", Unit: "bytes", Effect: Live, Text: "The largest file."},
			Attribute{Name: "max-backup-index", Type: Int, Default: int64(5), Range: &Range{0, 1000}, Effect: Live, Text: "How many older files stay, .1 the newest."})...),
		handler("syslog-handler", "Sends to a syslog receiver, RFC 5424. While there is no connection 4096 lines wait; over UDP they are lost.",
			Attribute{Name: "server-address", Type: String, Default: "localhost", Effect: Live, Text: "The receiver."},
			Attribute{Name: "port", Type: Int, Default: int64(514), Range: &Range{1, 65535}, Effect: Live, Text: "Its port."},
			Attribute{Name: "protocol", Type: String, Default: "udp", Allowed: []string{"udp", "tcp", "tls"}, Effect: Live, Text: "How to send."},
			Attribute{Name: "app-name", Type: String, Default: "gatehouse", Effect: Live, Text: "APP-NAME of the messages."},
			Attribute{Name: "hostname", Type: String, Effect: Live, Text: "HOSTNAME of the messages; the machine's when left out."},
			Attribute{Name: "facility", Type: String, Default: "user-level", Effect: Live,
				Text: "The facility: user-level, local-use-0 and the others of WildFly, or the usual keywords as user, daemon, authpriv, local0."},
			kept(Attribute{Name: "syslog-format", Type: String, Default: "RFC5424", Allowed: []string{"RFC5424", "RFC3164"}, Text: "Taken from WildFly's files; messages are those of RFC 5424."})),
	}
}

// LogCategory is a category of log lines.
type LogCategory struct {
	Name   string
	Text   string
	Others []string // names of Keycloak and WildFly that it has; what is below them too
}

// LogCategories are what a server's log lines belong to.
func LogCategories() []LogCategory {
	return []LogCategory{
		{"server", "everything", []string{"org.keycloak"}},
		{"server.access", "the access log", []string{"io.undertow.accesslog"}},
		{"server.authentication", "logins", []string{"org.keycloak.authentication"}},
		{"server.boot", "start, stop and changes of configuration", []string{"org.jboss.as", "org.keycloak.exportimport"}},
		{"server.caches", "caches", []string{"org.infinispan", "org.keycloak.connections.infinispan", "org.keycloak.models.cache", "org.keycloak.models.sessions"}},
		{"server.cluster", "the servers of a site", []string{"org.jgroups", "org.keycloak.cluster"}},
		{"server.endpoints", "the pages and interfaces", []string{"org.keycloak.services", "org.keycloak.protocol"}},
		{"server.events", "events of users and clients", []string{"org.keycloak.events"}},
		{"server.health", "health and metrics", []string{"org.wildfly.extension.health", "org.wildfly.extension.metrics"}},
		{"server.http", "listeners", []string{"io.undertow", "org.wildfly.extension.undertow", "org.xnio"}},
		{"server.loadbalancer", "a load balancer's servers", []string{"org.jboss.modcluster"}},
		{"server.storage", "the database", []string{"org.keycloak.connections.jpa", "org.keycloak.models.jpa", "org.hibernate", "org.jboss.jca", "liquibase"}},
		{"server.themes", "themes", []string{"org.keycloak.theme", "freemarker"}},
		{"server.tokens", "tokens and their keys", []string{"org.keycloak.keys", "org.keycloak.jose", "org.keycloak.crypto"}},
		{"management", "the management interface of a standalone server", []string{"org.jboss.as.domain", "org.jboss.as.controller"}},
	}
}

// LogCategoryOf is the category of a server that a logger's name means: its
// own, or the one that has the longest of Keycloak's and WildFly's names that
// it begins with. "" is a category that no line here belongs to.
func LogCategoryOf(logger string) string {
	found, length := "", 0
	for _, c := range LogCategories() {
		if logger == c.Name || strings.HasPrefix(logger, c.Name+".") {
			return logger
		}
		for _, other := range c.Others {
			// What is below org.keycloak and is not in the table is not everything.
			below := strings.HasPrefix(logger, other+".") && c.Name != "server"
			if (logger == other || below) && len(other) > length {
				found, length = c.Name, len(other)
			}
		}
	}
	return found
}

func categoriesText() string {
	var out strings.Builder
	out.WriteString("The categories, with the names of Keycloak and WildFly that stand for them:")
	for i, c := range LogCategories() {
		if i > 0 {
			out.WriteByte(';')
		}
		out.WriteString(" " + c.Name + " (" + c.Text)
		if len(c.Others) > 0 {
			out.WriteString("; " + strings.Join(c.Others, ", "))
		}
		out.WriteByte(')')
	}
	out.WriteString(". Other categories of Java may be there and do nothing.")
	return out.String()
}
