package profiles

// logging describes what a server writes about itself.
func logging() *Description {
	level := Attribute{Name: "level", Type: String, Default: "INFO", Effect: Live,
		Allowed: []string{"ALL", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF"}, Text: "The least level that is written."}
	handlers := kept(Attribute{Name: "handlers", Type: List, Text: "The handlers that write."})
	format := kept(Attribute{Name: "format", Aliases: []string{"named-formatter", "formatter"}, Type: String, Default: "auto",
		Text: "auto: for people on a terminal, JSON otherwise; text; json."})
	file := kept(Attribute{Name: "file", Type: Object, Text: "path and relative-to of the file."})
	handler := func(text string, attrs ...Attribute) *Description {
		return &Description{Text: text, Effect: Reload, Attributes: append([]Attribute{kept(level), format,
			kept(Attribute{Name: "enabled", Type: Bool, Default: true, Text: "Whether it writes."})}, attrs...)}
	}
	return &Description{
		Text: "Logging.",
		Children: []Child{
			{Type: "root-logger", Name: "ROOT", Implicit: true, Description: &Description{
				Text: "What holds for every logger.", Effect: Live, Attributes: []Attribute{level, handlers}}},
			{Type: "logger", Name: Wildcard, Description: &Description{
				Text: "A room of the server, as server.storage, or a category of Keycloak, as org.keycloak.events.", Effect: Live,
				Attributes: []Attribute{kept(level), handlers, kept(Attribute{Name: "category", Type: String, Text: "Taken from WildFly's files."})}}},
			{Type: "console-handler", Name: Wildcard, Description: handler("Writes to the process's output.")},
			{Type: "file-handler", Name: Wildcard, Description: handler("Writes to a file.", file)},
			{Type: "periodic-rotating-file-handler", Name: Wildcard, Description: handler("Writes to a file a day.", file,
				kept(Attribute{Name: "suffix", Type: String, Default: ".yyyy-MM-dd", Text: "The form of the day."}),
				kept(Attribute{Name: "append", Type: Bool, Default: true, Text: "Whether an existing file is kept."}))},
			{Type: "size-rotating-file-handler", Name: Wildcard, Description: handler("Writes to a file until it is large.", file,
				kept(Attribute{Name: "rotate-size", Type: Size, Default: "10m", Unit: "bytes", Text: "The largest file."}),
				kept(Attribute{Name: "max-backup-index", Type: Int, Default: int64(5), Range: &Range{0, 1000}, Text: "How many older files are kept."}))},
			{Type: "syslog-handler", Name: Wildcard, Description: handler("Writes to a syslog receiver.",
				kept(Attribute{Name: "server-address", Type: String, Default: "localhost", Text: "The receiver."}),
				kept(Attribute{Name: "port", Type: Int, Default: int64(514), Range: &Range{1, 65535}, Text: "Its port."}))},
		},
	}
}
