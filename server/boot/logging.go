package boot

import (
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// loggingReader reads subsystem=logging, with WildFly's names of levels and of
// categories.
type loggingReader struct {
	cfg servergroups.ServerConfig
	dir string // for relative files
}

// readLogging reads what is logged, and where to; dir is the server's working
// directory.
func readLogging(cfg servergroups.ServerConfig, dir string) (s logs.Settings, err error) {
	r := loggingReader{cfg, dir}
	if s.Handlers, err = r.handlers(); err != nil {
		return s, err
	}
	if s.Root, err = r.root(); err != nil {
		return s, err
	}
	if s.Loggers, err = r.loggers(); err != nil {
		return s, err
	}
	return s, s.Check()
}

// defaultConsole is the handler of a profile that says nothing of handlers.
const defaultConsole = "CONSOLE"

// root is what holds for every category: without a list of handlers every
// console handler writes.
func (r loggingReader) root() (logs.Logger, error) {
	at := []string{"logging", "root-logger", "ROOT"}
	lvl, err := level(r.cfg.String("INFO", append(at, "level")...))
	if err != nil {
		return logs.Logger{}, err
	}
	out := logs.Logger{Level: &lvl, Handlers: r.enabled(r.cfg.List(append(at, "handlers")...))}
	if v, said := r.cfg.Get(append(at, "handlers")...); !said || v == nil {
		for name := range r.cfg.Map("logging", "console-handler") {
			out.Handlers = append(out.Handlers, name)
		}
		if len(out.Handlers) == 0 {
			out.Handlers = []string{defaultConsole}
		}
		out.Handlers = r.enabled(out.Handlers)
	}
	return out, nil
}

// enabled are those of the handlers that are not switched off.
func (r loggingReader) enabled(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		for _, typ := range handlerTypes {
			if _, there := r.cfg.Get("logging", typ, name); there {
				return !r.cfg.Bool(true, "logging", typ, name, "enabled")
			}
		}
		return false
	})
}

var handlerTypes = []string{"console-handler", "file-handler", "periodic-rotating-file-handler", "size-rotating-file-handler", "syslog-handler"}

// loggers are what holds for single categories. Several of Keycloak's may be
// one of ours: then the lowest level holds, and the handlers of all write. Our
// own name goes before theirs.
func (r loggingReader) loggers() (map[string]logs.Logger, error) {
	out, own := map[string]logs.Logger{}, map[string]bool{}
	for resource := range r.cfg.Map("logging", "logger") {
		at := []string{"logging", "logger", resource}
		name := r.cfg.String(resource, append(at, "category")...)
		category := profiles.LogCategoryOf(name)
		if category == "" || own[category] && name != category {
			continue
		}
		l := logs.Logger{Handlers: r.enabled(r.cfg.List(append(at, "handlers")...)), Alone: !r.cfg.Bool(true, append(at, "use-parent-handlers")...)}
		if text := r.cfg.String("", append(at, "level")...); text != "" {
			lvl, err := level(text)
			if err != nil {
				return nil, err
			}
			l.Level = &lvl
		}
		if other, twice := out[category]; twice && name != category {
			l = merged(l, other)
		}
		out[category], own[category] = l, own[category] || name == category
	}
	return out, nil
}

func merged(a, b logs.Logger) logs.Logger {
	if a.Level == nil || b.Level != nil && *b.Level < *a.Level {
		a.Level = b.Level
	}
	a.Handlers = append(slices.Clone(a.Handlers), b.Handlers...)
	a.Alone = a.Alone && b.Alone
	return a
}

// handlers are all of them by name, whatever their type.
func (r loggingReader) handlers() (map[string]logs.Handler, error) {
	out := map[string]logs.Handler{}
	for _, typ := range handlerTypes {
		for name := range r.cfg.Map("logging", typ) {
			if _, twice := out[name]; twice {
				return nil, problem.Invalid.Errorf("cannot use %s %q of subsystem=logging: a handler of another type has the same name", typ, name)
			}
			h, err := r.handler(typ, name)
			if err != nil {
				return nil, problem.Invalid.Errorf("cannot use /subsystem=logging/%s=%s: %w", typ, name, err)
			}
			if !r.cfg.Bool(true, "logging", typ, name, "enabled") {
				h.Output = logs.Console{} // nobody writes to it: no file is opened
			}
			out[name] = h
		}
	}
	if len(r.cfg.Map("logging", "console-handler")) == 0 {
		if _, taken := out[defaultConsole]; !taken {
			out[defaultConsole] = logs.Handler{Level: zerolog.TraceLevel, Output: logs.Console{}}
		}
	}
	return out, nil
}

func (r loggingReader) handler(typ, name string) (h logs.Handler, err error) {
	at := func(attribute ...string) []string { return append([]string{"logging", typ, name}, attribute...) }
	if h.Level, err = level(r.cfg.String("ALL", at("level")...)); err != nil {
		return h, err
	}
	if h.Format, h.Pattern, err = r.format(r.cfg.String("auto", at("format")...)); err != nil {
		return h, err
	}
	switch typ {
	case "console-handler":
		h.Output = logs.Console{}
		return h, nil
	case "syslog-handler":
		h.Output = logs.Syslog{
			Network:  r.cfg.String("udp", at("protocol")...),
			Address:  net.JoinHostPort(r.cfg.String("localhost", at("server-address")...), strconv.FormatInt(r.cfg.Int(514, at("port")...), 10)),
			Facility: strings.ToLower(r.cfg.String("user-level", at("facility")...)),
			App:      r.cfg.String("gatehouse", at("app-name")...),
			Host:     r.cfg.String("", at("hostname")...),
		}
		return h, nil
	}
	file := logs.File{Replace: !r.cfg.Bool(true, at("append")...)}
	if file.Path, err = r.file(r.cfg.String("", at("file", "path")...), r.cfg.String("", at("file", "relative-to")...)); err != nil {
		return h, err
	}
	switch typ {
	case "periodic-rotating-file-handler":
		file.Suffix = r.cfg.String(".yyyy-MM-dd", at("suffix")...)
	case "size-rotating-file-handler":
		file.MaxSize, file.Backups = r.cfg.Int(10<<20, at("rotate-size")...), int(r.cfg.Int(5, at("max-backup-index")...))
	}
	h.Output = file
	return h, nil
}

// file is a log file. That of the host agent is not one: it has what the
// process writes, and is put aside under it.
func (r loggingReader) file(path, relativeTo string) (string, error) {
	if path == "" {
		return "", problem.Invalid.Errorf("its file has no path; want file={path=audit.log, relative-to=jboss.server.log.dir}")
	}
	file, err := below(r.cfg, r.dir, path, relativeTo)
	if err != nil {
		return "", err
	}
	file = filepath.Clean(within(r.dir, file))
	if r.cfg.Group != "" && file == filepath.Join(r.dir, "log", "server.log") {
		return "", problem.WithHint(problem.Invalid.Errorf("%s has the server's output, which the host agent writes and rotates", file),
			"choose another path; a console-handler writes to that file")
	}
	return file, nil
}

// format reads auto, text, json, a pattern, or the name of a formatter.
func (r loggingReader) format(name string) (logs.Format, string, error) {
	switch strings.ToLower(name) {
	case "", "auto":
		return logs.Auto, "", nil
	case "text":
		return logs.Text, "", nil
	case "json":
		return logs.JSON, "", nil
	}
	if strings.Contains(name, "%") {
		return logs.Text, name, nil
	}
	if _, there := r.cfg.Get("logging", "json-formatter", name); there {
		return logs.JSON, "", nil
	}
	if pattern := r.cfg.String("", "logging", "pattern-formatter", name, "pattern"); pattern != "" {
		return logs.Text, pattern, nil
	}
	return "", "", problem.Invalid.Errorf("there is no formatter %q (valid: auto, text, json, a pattern such as %%d %%p %%s%%n, or the name of a pattern-formatter or json-formatter)", name)
}

// level translates WildFly's names of levels.
func level(name string) (zerolog.Level, error) {
	levels := map[string]zerolog.Level{
		"ALL": zerolog.TraceLevel, "TRACE": zerolog.TraceLevel, "DEBUG": zerolog.DebugLevel, "INFO": zerolog.InfoLevel,
		"WARN": zerolog.WarnLevel, "ERROR": zerolog.ErrorLevel, "FATAL": zerolog.FatalLevel, "OFF": zerolog.Disabled,
	}
	l, ok := levels[strings.ToUpper(name)]
	if !ok {
		return l, problem.Invalid.Errorf("cannot use log level %q (valid: ALL, TRACE, DEBUG, INFO, WARN, ERROR, FATAL, OFF)", name)
	}
	return l, nil
}
