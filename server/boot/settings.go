package boot

import (
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/themes"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// settings are a server's configuration as the rooms of the identity server
// want it: typed, with units. They are read from one ServerConfig and never
// changed.
type settings struct {
	site     string
	revision uint64

	book       addresses.Book
	themes     themes.Settings
	themeDir   string
	lockWait   time.Duration // dblock lockWaitTimeout: how long boot waits for the database lock
	lockAgain  time.Duration // dblock lockRecheckTime
	sweepEvery time.Duration
	database   database
	maxNouns   int // that are kept in memory: realms, clients and so on
	maxUsers   int
	routes     bool // whether AUTH_SESSION_ID names this server
	events     eventLog
	imports    []string
	strategy   string
	admin      administrator
	master     string // the realm whose administrators manage all realms
	logging    logs.Settings
}

// database says where realms, users and sessions are.
type database struct {
	driver   string // sqlite or postgresql
	address  string // file, or connection URL without credentials
	user     string
	password string
	maxConns int
	initial  int           // connections opened at boot
	minConns int           // that stay open
	wait     time.Duration // for a connection, when all are in use
	idle     time.Duration // after which a connection is closed; negative: never
	schema   string        // of PostgreSQL
}

// administrator is the first account of the master realm.
type administrator struct{ user, password string }

// dataSource is the one that the identity server uses; the name is Keycloak's.
const dataSource = "KeycloakDS"

// The names of the profile's parts that boot reads more than once.
const (
	identityName  = "identity"
	httpName      = "http"
	listenersPath = "server"
)

// readSettings reads what it understands of a configuration; dir is the
// server's working directory, for relative files.
func readSettings(cfg servergroups.ServerConfig, dir string) (settings, error) {
	spi := func(def, name, provider, property string) string {
		return cfg.String(def, identityName, "spi", name, "provider", provider, "properties", property)
	}
	seconds := func(def int64, path ...string) time.Duration {
		return time.Duration(cfg.Int(def, path...)) * time.Second
	}
	s := settings{
		site:     cfg.Site,
		revision: cfg.Revision,
		book: addresses.Book{
			ContextPath: cfg.String("auth", identityName, "web-context"),
			Hostname:    spi("", "hostname", "default", "frontendUrl"),
		},
		themes: themes.Settings{
			DisplayName:  cfg.String("", identityName, "display-name"),
			DefaultTheme: cfg.String("", identityName, "theme", "defaults", "default"),
			WelcomeTheme: cfg.String("", identityName, "theme", "defaults", "welcomeTheme"),
			StaticMaxAge: seconds(2592000, identityName, "theme", "defaults", "staticMaxAge"),
			Locked:       cfg.Bool(true, identityName, "theme", "defaults", "cacheThemes") && cfg.Bool(true, identityName, "theme", "defaults", "cacheTemplates"),
		},
		themeDir:   within(dir, cfg.String("", identityName, "theme", "defaults", "dir")),
		lockWait:   seconds(900, identityName, "spi", "dblock", "provider", "jpa", "properties", "lockWaitTimeout"),
		lockAgain:  seconds(0, identityName, "spi", "dblock", "provider", "jpa", "properties", "lockRecheckTime"),
		sweepEvery: seconds(900, identityName, "scheduled-task-interval"),
		strategy:   cfg.String("ignore-existing", identityName, "import-strategy"),
		admin: administrator{
			user:     cfg.String("", identityName, "bootstrap-admin-user"),
			password: cfg.String("", identityName, "bootstrap-admin-password"),
		},
		master:   cfg.String(model.Master, identityName, "master-realm-name"),
		maxNouns: cacheSize(cfg, "realms", "realmCache"),
		maxUsers: cacheSize(cfg, "users", "userCache"),
	}
	if s.master == "" {
		return s, problem.Invalid.Errorf("cannot use master-realm-name \"\": want the name of a realm, as %s", model.Master)
	}
	if s.lockWait <= 0 {
		return s, problem.Invalid.Errorf("cannot use lockWaitTimeout %s of spi dblock: want a positive number of seconds", s.lockWait)
	}
	for _, file := range cfg.List(identityName, "import") {
		s.imports = append(s.imports, within(dir, file))
	}
	for _, kind := range []string{tlsKind, plainKind} {
		listener, _ := findListener(cfg, kind)
		if listener != "" && cfg.Bool(false, serverPath(cfg, kind, listener, "proxy-address-forwarding")...) {
			s.book.Proxy = addresses.XForwarded
		}
	}
	var err error
	if s.logging, err = readLogging(cfg, dir); err != nil {
		return s, err
	}
	if s.events, err = readEvents(cfg); err != nil {
		return s, err
	}
	if s.routes, err = strconv.ParseBool(spi("true", "stickySessionEncoder", "infinispan", "shouldAttachRoute")); err != nil {
		return s, problem.Invalid.Errorf("cannot use shouldAttachRoute of spi stickySessionEncoder: want true or false")
	}
	if _, err = readProxies(cfg.List(identityName, "spi", "connectionsHttpClient", "provider", "default", "properties", "proxy-mappings")); err != nil {
		return s, err
	}
	s.routes = s.routes && enabled(cfg, "stickySessionEncoder", "infinispan")
	if err = checkProviders(cfg); err != nil {
		return s, err
	}
	s.database, err = readDatabase(cfg, dir)
	return s, err
}

// readDatabase reads the data source. A URL may be written as for JDBC.
func readDatabase(cfg servergroups.ServerConfig, dir string) (database, error) {
	at := []string{"datasources", "data-source", dataSource}
	get := func(name string) string { return cfg.String("", append(at, name)...) }
	d := database{
		driver:   get("driver-name"),
		address:  strings.TrimPrefix(get("connection-url"), "jdbc:"),
		user:     get("user-name"),
		password: get("password"),
		maxConns: int(cfg.Int(20, append(at, "max-pool-size")...)),
		initial:  int(cfg.Int(0, append(at, "initial-pool-size")...)),
		minConns: int(cfg.Int(0, append(at, "min-pool-size")...)),
		wait:     time.Duration(cfg.Int(30000, append(at, "blocking-timeout-wait-millis")...)) * time.Millisecond,
		idle:     time.Duration(cfg.Int(5, append(at, "idle-timeout-minutes")...)) * time.Minute,
		schema:   get("schema"),
	}
	d.wait = max(d.wait, time.Millisecond) // 0 is not to wait
	if d.idle == 0 {
		d.idle = -1
	}
	if !cfg.Bool(true, append(at, "enabled")...) {
		return d, problem.Precondition.Errorf("cannot use data-source %s: it is not enabled", dataSource)
	}
	if d.initial > d.maxConns {
		return d, problem.Invalid.Errorf("cannot open %d connections of data-source %s at boot: max-pool-size is %d", d.initial, dataSource, d.maxConns)
	}
	if d.minConns > d.maxConns {
		return d, problem.Invalid.Errorf("cannot keep %d connections of data-source %s open (min-pool-size): max-pool-size is %d", d.minConns, dataSource, d.maxConns)
	}
	switch d.driver {
	case "sqlite":
		d.address = within(dir, strings.TrimPrefix(d.address, "sqlite:"))
	case "postgresql", "postgres":
		d.driver = "postgresql"
		if _, err := url.Parse(d.address); err != nil {
			return d, problem.Invalid.Errorf("cannot use the connection-url of data-source %s: it is not a URL", dataSource)
		}
	case "":
		return d, problem.WithHint(problem.Invalid.Errorf("cannot find data-source %s in the profile", dataSource), "add /subsystem=datasources/data-source=%s", dataSource)
	default:
		return d, problem.Invalid.Errorf("cannot use driver %q of data-source %s (valid: sqlite, postgresql)", d.driver, dataSource)
	}
	return d, nil
}

// url is the connection URL with the credentials in it. It is a secret.
func (d database) url() string {
	u, err := url.Parse(d.address)
	if err != nil || d.user == "" {
		return d.address
	}
	u.User = url.UserPassword(d.user, d.password)
	return u.String()
}

// findListener gives the first listener of a kind and its port's binding.
func findListener(cfg servergroups.ServerConfig, kind string) (name, binding string) {
	for candidate := range cfg.Map(serverPath(cfg, kind)...) {
		if name == "" || candidate < name {
			name = candidate
		}
	}
	if name == "" || !cfg.Bool(true, serverPath(cfg, kind, name, "enabled")...) {
		return "", ""
	}
	return name, cfg.String(name, serverPath(cfg, kind, name, "socket-binding")...)
}

// within is file below dir, unless it is absolute or empty.
func within(dir, file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}
