package boot

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// actedOn are the attributes that a server does something with, by resource,
// with who reads them. Every other attribute of these resources says in its
// text that it is only kept. See docs/checklists/add-an-attribute.md.
var actedOn = map[string]struct{ reader, attributes string }{
	"identity":                                                          {"readSettings, features", "web-context display-name master-realm-name scheduled-task-interval import import-strategy bootstrap-admin-user bootstrap-admin-password feature-profile features"},
	"identity/theme=defaults":                                           {"readSettings, themes", "default welcomeTheme cacheThemes cacheTemplates staticMaxAge dir"},
	"identity/spi=dblock/provider=jpa":                                  {"readSettings", "properties enabled"},
	"identity/spi=dblock":                                               {"profiles", "default-provider"},
	"identity/spi=hostname/provider=default":                            {"readSettings", "properties enabled"},
	"identity/spi=hostname":                                             {"profiles", "default-provider"},
	"identity/spi=stickySessionEncoder/provider=infinispan":             {"readSettings", "properties enabled"},
	"identity/spi=stickySessionEncoder":                                 {"profiles", "default-provider"},
	"identity/spi=eventsListener/provider=jboss-logging":                {"readEvents", "properties enabled"},
	"identity/spi=eventsListener":                                       {"profiles", "default-provider"},
	"identity/spi=connectionsHttpClient/provider=default":               {"readOutgoing", "properties enabled"},
	"identity/spi=connectionsHttpClient":                                {"profiles", "default-provider"},
	"identity/spi=truststore/provider=file":                             {"outgoingTrust", "properties enabled"},
	"identity/spi=truststore":                                           {"profiles", "default-provider"},
	"identity/spi=eventsStore/provider=jpa":                             {"readEventStore", "properties enabled"},
	"identity/spi=eventsStore":                                          {"profiles", "default-provider"},
	"identity/spi=connectionsJpa/provider=default":                      {"needed", "enabled"},
	"identity/spi=connectionsJpa":                                       {"profiles", "default-provider"},
	"identity/spi=connectionsInfinispan/provider=default":               {"needed", "enabled"},
	"identity/spi=connectionsInfinispan":                                {"profiles", "default-provider"},
	"identity/spi=userCache/provider=default":                           {"readSettings", "enabled"},
	"identity/spi=userCache":                                            {"profiles", "default-provider"},
	"identity/spi=realmCache/provider=default":                          {"readSettings", "enabled"},
	"identity/spi=realmCache":                                           {"profiles", "default-provider"},
	"identity/spi=timer/provider=basic":                                 {"needed", "enabled"},
	"identity/spi=timer":                                                {"profiles", "default-provider"},
	"identity/spi=login-protocol/provider=openid-connect":               {"needed", "enabled"},
	"identity/spi=login-protocol":                                       {"profiles", "default-provider"},
	"datasources/data-source=*":                                         {"readDatabase", "connection-url driver-name user-name password schema min-pool-size initial-pool-size max-pool-size blocking-timeout-wait-millis idle-timeout-minutes enabled"},
	"caches/cache-container=*/local-cache=realms/memory=object":         {"cacheSize", "size"},
	"caches/cache-container=*/local-cache=users/memory=object":          {"cacheSize", "size"},
	"caches/cache-container=*":                                          {"readCache", "statistics-enabled"},
	"caches/cache-container=*/distributed-cache=*":                      {"readCache", "owners statistics-enabled"},
	"caches/cache-container=*/distributed-cache=*/memory=object":        {"readCache", "size"},
	"caches/cache-container=*/distributed-cache=*/component=expiration": {"readCache", "lifespan max-idle interval"},
	"cluster":                       {"readDiscovery, identity", "default-stack node-name socket-binding"},
	"cluster/stack=*":               {"readDiscovery", "discovery initial-hosts dns-query"},
	"http":                          {"serverPath, defaultHost, counts", "default-server default-virtual-host statistics-enabled"},
	"http/server=*":                 {"defaultHost", "default-host"},
	"http/server=*/host=*":          {"readHosts", "alias"},
	"http/server=*/http-listener=*": {"readListener", "socket-binding enabled " + limits},
	"http/server=*/https-listener=*": {"readListener, readTLS", "socket-binding enabled " + limits +
		" security-realm certificate-file certificate-key-file verify-client enabled-protocols"},
	"http/server=*/host=*/location=*":         {"handlerPath", "handler"},
	"http/server=*/host=*/filter-ref=*":       {"filterReader", "priority predicate"},
	"http/server=*/host=*/setting=access-log": {"accessPattern", "pattern enabled"},
	"http/configuration=handler/reverse-proxy=*": {"balancing, balancer", "discover-groups session-cookie-names connections-per-thread max-request-time max-retries max-queue-time max-queued-requests " +
		"problem-server-retry health-check-interval health-check-path"},
	"http/configuration=handler/reverse-proxy=*/host=*": {"staticBackends, backendTLS", "outbound-socket-binding scheme path instance-id security-realm"},
	"http/configuration=filter/response-header=*":       {"readFilter", "header-name header-value"},
	"http/configuration=filter/request-limit=*":         {"readFilter", "max-concurrent-requests queue-size"},
	"http/configuration=filter/custom-filter=*":         {"readFilter", "class-name"},
	"logging/root-logger=ROOT":                          {"readLogging", "level handlers"},
	"logging/logger=*":                                  {"readLogging", "level handlers use-parent-handlers category"},
	"logging/pattern-formatter=*":                       {"readLogging", "pattern"},
	"logging/console-handler=*":                         {"readLogging", handling},
	"logging/file-handler=*":                            {"readLogging", handling + " file append"},
	"logging/periodic-rotating-file-handler=*":          {"readLogging", handling + " file append suffix"},
	"logging/size-rotating-file-handler=*":              {"readLogging", handling + " file append rotate-size max-backup-index"},
	"logging/syslog-handler=*":                          {"readLogging", handling + " server-address port protocol app-name hostname facility"},
	"security-realm=*/server-identity=ssl":              {"securityRealm", "keystore-path keystore-relative-to keystore-password keystore-provider alias key-password generate-self-signed-certificate-host certificate-file certificate-key-file enabled-protocols"},
	"security-realm=*/server-identity=secret":           {"the host agent", "value"},
	"security-realm=*/authentication=truststore":        {"securityRealm", "keystore-path keystore-relative-to keystore-password"},
	"path=*":    {"servergroups, below", "path relative-to"},
	"process=*": {"servergroups, the host agent", "memory-limit environment arguments"},
}

const handling = "level format enabled"

const limits = "proxy-address-forwarding redirect-socket enable-http2 max-post-size max-header-size max-connections no-request-timeout " +
	"request-parse-timeout read-timeout write-timeout trusted-proxies"

// described are the descriptions that the promise is about.
func described(t *testing.T) map[string]*profiles.Description {
	t.Helper()
	out := map[string]*profiles.Description{}
	var walk func(at string, d *profiles.Description)
	walk = func(at string, d *profiles.Description) {
		out[at] = d
		for _, c := range d.Children {
			walk(strings.TrimPrefix(at+"/"+c.Type+"="+c.Name, "/"), c.Description)
		}
	}
	for at, address := range map[string]profiles.Address{
		"identity": {{Type: "subsystem", Name: "identity"}}, "datasources": {{Type: "subsystem", Name: "datasources"}},
		"caches": {{Type: "subsystem", Name: "caches"}}, "cluster": {{Type: "subsystem", Name: "cluster"}},
		"http": {{Type: "subsystem", Name: "http"}}, "logging": {{Type: "subsystem", Name: "logging"}},
		"security-realm=*": {{Type: "core-service", Name: "management"}, {Type: "security-realm", Name: profiles.Wildcard}},
		"path=*":           {{Type: "path", Name: profiles.Wildcard}},
	} {
		d, err := profiles.Standalone.Describe(address)
		if err != nil {
			t.Fatal(err)
		}
		walk(at, d)
	}
	d, err := profiles.Domain.Describe(profiles.Address{{Type: "server-group", Name: profiles.Wildcard}, {Type: "process", Name: profiles.Wildcard}})
	if err != nil {
		t.Fatal(err)
	}
	walk("process=*", d)
	return out
}

func TestEveryAttributeIsActedOnOrSaysThatItIsKept(t *testing.T) {
	descriptions := described(t)
	for at, d := range descriptions {
		entry, ok := actedOn[at]
		if !ok { // of one of a name, as stack=domain: that of any
			entry = actedOn[at[:strings.LastIndexByte(at, '=')+1]+profiles.Wildcard]
		}
		acted := strings.Fields(entry.attributes)
		for _, a := range d.Attributes {
			says := strings.HasSuffix(a.Text, profiles.Kept)
			switch {
			case slices.Contains(acted, a.Name) && says:
				t.Errorf("%s: %s is acted on by %s, and its text says that it is only kept", at, a.Name, entry.reader)
			case slices.Contains(acted, a.Name) && a.Effect == profiles.None:
				t.Errorf("%s: %s is acted on by %s, and its effect is none", at, a.Name, entry.reader)
			case !slices.Contains(acted, a.Name) && !says:
				t.Errorf("%s: nobody is known to read %s: write its reader and name it here, or describe it as kept", at, a.Name)
			case says && a.Effect != profiles.None:
				t.Errorf("%s: %s is only kept, and a change of it asks for %s", at, a.Name, a.Effect)
			}
		}
		for _, name := range acted {
			if _, ok := d.Attribute(name); !ok {
				t.Errorf("%s: there is no attribute %s", at, name)
			}
		}
	}
	for _, at := range slices.Sorted(maps.Keys(actedOn)) {
		if descriptions[at] == nil {
			t.Errorf("there is no resource %s", at)
		}
	}
}
