package boot

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// console is what a process writes.
type console struct {
	mu   sync.Mutex
	text strings.Builder
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// changed is a tree after commands.
func changed(t *testing.T, tree profiles.Tree, ops ...profiles.Operation) profiles.Tree {
	t.Helper()
	for _, op := range ops {
		next, _, _, err := profiles.Apply(tree, op)
		if err != nil {
			t.Fatalf("%s %s: %v", op.Address, op.Name, err)
		}
		tree = next
	}
	return tree
}

func adding(t *testing.T, at string, params map[string]any) profiles.Operation {
	t.Helper()
	address, err := profiles.ParseAddress(at)
	if err != nil {
		t.Fatal(err)
	}
	return profiles.Operation{Name: "add", Address: address, Params: params}
}

func standaloneTree(t *testing.T) profiles.Tree {
	t.Helper()
	tree, err := profiles.Default(profiles.Standalone)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

const logging = "/subsystem=logging/"

func TestLoggingIsReadWithTheNamesOfKeycloakAndWildFly(t *testing.T) {
	tree := changed(t, standaloneTree(t),
		adding(t, logging+"size-rotating-file-handler=SIZE", map[string]any{"file": map[string]any{"path": "big.log", "relative-to": "jboss.server.log.dir"},
			"rotate-size": "3k", "max-backup-index": 7, "level": "WARN", "formatter": "%p %s%n"}),
		adding(t, logging+"periodic-rotating-file-handler=DAY", map[string]any{"file": map[string]any{"path": "day.log"}, "suffix": ".yyyy-ww", "append": false, "named-formatter": "PATTERN"}),
		adding(t, logging+"syslog-handler=FAR", map[string]any{"server-address": "logs.example.com", "port": 1514, "protocol": "tcp", "facility": "local-use-1", "format": "json"}),
		adding(t, logging+"file-handler=OFF", map[string]any{"file": map[string]any{"path": "/nowhere/off.log"}, "enabled": false}),
		adding(t, logging+"logger=org.keycloak.events", map[string]any{"level": "DEBUG", "handlers": []any{"SIZE", "OFF"}}),
		adding(t, logging+"logger=org.infinispan", map[string]any{"level": "DEBUG"}),
		adding(t, logging+"logger=org.keycloak.models.cache.infinispan", map[string]any{"level": "TRACE", "handlers": []any{"FAR"}}),
		adding(t, logging+"logger=mine", map[string]any{"category": "server.tokens", "level": "ERROR", "use-parent-handlers": false}),
		adding(t, logging+"logger=org.keycloak.keys", map[string]any{"level": "TRACE"}), // ours is named
		adding(t, logging+"logger=com.arjuna", map[string]any{"level": "WARN"}),         // of no concern here
		adding(t, logging+"logger=org.keycloak.unheardof", map[string]any{"level": "TRACE"}),
	)
	cfg, err := resolveOnFreePorts(tree)
	if err != nil {
		t.Fatal(err)
	}
	s, err := readLogging(cfg, "/srv/one")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]logs.Handler{
		"SIZE":    {Level: zerolog.WarnLevel, Format: logs.Text, Pattern: "%p %s%n", Output: logs.File{Path: "/srv/one/log/big.log", MaxSize: 3072, Backups: 7}},
		"DAY":     {Level: zerolog.TraceLevel, Format: logs.Text, Pattern: logs.DefaultPattern, Output: logs.File{Path: "/srv/one/day.log", Replace: true, Suffix: ".yyyy-ww"}},
		"FAR":     {Level: zerolog.TraceLevel, Format: logs.JSON, Output: logs.Syslog{Network: "tcp", Address: "logs.example.com:1514", Facility: "local-use-1", App: "gatehouse"}},
		"CONSOLE": {Level: zerolog.TraceLevel, Format: logs.Auto, Output: logs.Console{}},
	} {
		if s.Handlers[name] != want {
			t.Errorf("%s: %+v, want %+v", name, s.Handlers[name], want)
		}
	}
	if got := s.Root.Handlers; len(got) != 1 || got[0] != "CONSOLE" {
		t.Errorf("the root's handlers: %q", got)
	}
	for category, want := range map[string]struct {
		level    zerolog.Level
		handlers string
		alone    bool
	}{
		"server.events": {zerolog.DebugLevel, "SIZE", false},
		"server.caches": {zerolog.TraceLevel, "FAR", false},
		"server.tokens": {zerolog.ErrorLevel, "", true},
	} {
		l := s.Loggers[category]
		if l.Level == nil || *l.Level != want.level || strings.Join(l.Handlers, " ") != want.handlers || l.Alone != want.alone {
			t.Errorf("%s: %+v, want %+v", category, l, want)
		}
	}
	if len(s.Loggers) != 3 {
		t.Errorf("%d loggers: %v", len(s.Loggers), s.Loggers)
	}
}

func TestLoggingThatCannotBeIsRefusedByName(t *testing.T) {
	for _, c := range []struct {
		want  string
		group string
		op    profiles.Operation
	}{
		{`%y means nothing here`, "", adding(t, logging+"console-handler=C", map[string]any{"format": "%y"})},
		{`its file has no path`, "", adding(t, logging+"file-handler=F", map[string]any{"file": map[string]any{}})},
		{`cannot find "a": the server has no path "nowhere.dir"`, "", adding(t, logging+"file-handler=F", map[string]any{"file": map[string]any{"path": "a", "relative-to": "nowhere.dir"}})},
		{`a handler of another type has the same name`, "", adding(t, logging+"syslog-handler=CONSOLE", nil)},
		{`there is no facility "desk"`, "", adding(t, logging+"syslog-handler=S", map[string]any{"facility": "desk"})},
		{`which the host agent writes`, "auth-server-group", adding(t, logging+"file-handler=F", map[string]any{"file": map[string]any{"path": "server.log", "relative-to": "jboss.server.log.dir"}})},
	} {
		cfg, err := resolveOnFreePorts(changed(t, standaloneTree(t), c.op))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Group = c.group
		if _, err := readLogging(cfg, t.TempDir()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.op.Address, err, c.want)
		}
	}
	for _, op := range []profiles.Operation{ // before they are kept
		adding(t, logging+"logger=server.events", map[string]any{"handlers": []any{"NONE"}}),
		adding(t, logging+"console-handler=C", map[string]any{"named-formatter": "NONE"}),
	} {
		if _, _, _, err := profiles.Apply(standaloneTree(t), op); err == nil || !strings.Contains(err.Error(), `"NONE", which does not exist`) {
			t.Errorf("%s: %v", op.Address, err)
		}
	}
}

// TestLoggingChangesWhileTheServerRuns: levels, categories and handlers, without
// a reload; a handler that cannot write stops nothing.
func TestLoggingChangesWhileTheServerRuns(t *testing.T) {
	tree, dir, out := standaloneTree(t), t.TempDir(), &console{}
	loggers := logs.NewTree(logs.Config{Console: out, Format: logs.JSON, Level: zerolog.InfoLevel, Clock: clock.Real()})
	defer loggers.Close()
	a, err := NewAlone(Process{Dir: dir, Getenv: func(string) string { return "" }, Version: "test", Clock: clock.Real(), Logs: loggers}, tree, resolveOnFreePorts)
	if err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { done <- a.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	case <-time.After(2 * time.Minute):
		t.Fatal("not ready in two minutes")
	}
	tree = changed(t, tree,
		adding(t, logging+"file-handler=EVENTS", map[string]any{"file": map[string]any{"path": "events.log", "relative-to": "jboss.server.log.dir"}, "format": "%p [%c] %s%n"}),
		adding(t, logging+"file-handler=BROKEN", map[string]any{"file": map[string]any{"path": "/proc/none/x.log"}}),
		adding(t, logging+"logger=org.keycloak.events", map[string]any{"level": "TRACE", "handlers": []any{"EVENTS", "BROKEN"}}))
	if err := a.Configure(t.Context(), tree); err != nil {
		t.Fatal(err)
	}
	if serverState(a) != "running" {
		t.Errorf("the server is %q: a change of logging is live", serverState(a))
	}
	log := a.logger("server.events")
	log.Trace().Msg("LOGIN")
	text, err := os.ReadFile(filepath.Join(dir, "log", "events.log"))
	if err != nil || !strings.HasPrefix(string(text), "TRACE [server.events] LOGIN ") {
		t.Errorf("%q (%v)", text, err)
	}
	if got := out.String(); strings.Count(got, "cannot write log file /proc/none/x.log") != 1 || !strings.Contains(got, `"message":"LOGIN"`) {
		t.Errorf("%s", got)
	}
	tree = written(t, tree, logging+"root-logger=ROOT", "level", "ERROR")
	if err := a.Configure(t.Context(), tree); err != nil {
		t.Fatal(err)
	}
	if a.Log.Warn() != nil || a.Log.Error() == nil || log.Trace() == nil {
		t.Error("the new level does not hold")
	}
	bad, _, _, err := profiles.Apply(tree, adding(t, logging+"syslog-handler=S", map[string]any{"facility": "desk"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Check(bad); err == nil || !strings.Contains(err.Error(), "facility") {
		t.Errorf("%v", err)
	}
	cancel()
	if err := <-done; err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}

// TestALoadBalancerFollowsItsLogging: as identity servers do.
func TestALoadBalancerFollowsItsLogging(t *testing.T) {
	dir := t.TempDir()
	loggers := logs.Discard()
	defer loggers.Close()
	cfg := loggingBalancer(map[string]any{
		"file-handler": map[string]any{"F": map[string]any{"file": map[string]any{"path": "b.log"}, "format": "%s%n"}},
		"root-logger":  map[string]any{"ROOT": map[string]any{"level": "INFO", "handlers": []any{"F"}}},
	})
	p := Process{Dir: dir, Clock: clock.Real(), Logs: loggers}.named("b1", "here")
	b, err := newBalancer(environment{process: p, traffic: &traffic{}}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.closeListeners()
	b.Log.Info().Msg("hello")
	if text, err := os.ReadFile(filepath.Join(dir, "b.log")); err != nil || string(text) != "hello node=b1 site=here\n" {
		t.Errorf("%q (%v)", text, err)
	}
	cfg.Subsystems["logging"].(map[string]any)["root-logger"].(map[string]any)["ROOT"].(map[string]any)["level"] = "OFF"
	if err := b.apply(cfg); err != nil {
		t.Fatal(err)
	}
	if b.Log.Error() != nil {
		t.Error("a new level does not hold")
	}
}

func loggingBalancer(logging map[string]any) servergroups.ServerConfig {
	free := servergroups.Binding{Address: "127.0.0.1"}
	return servergroups.ServerConfig{Name: "b1", Bindings: map[string]servergroups.Binding{"http": free, healthBinding: free}, Subsystems: map[string]any{
		"logging": logging,
		"http": map[string]any{
			"server":        map[string]any{"default-server": map[string]any{"http-listener": map[string]any{"default": map[string]any{"socket-binding": "http"}}}},
			"configuration": map[string]any{"handler": map[string]any{"reverse-proxy": map[string]any{"lb": map[string]any{}}}},
		}}}
}
