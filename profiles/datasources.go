package profiles

// datasources describes the database: the guide's chapter "Relational Database
// Setup".
func datasources() *Description {
	return &Description{
		Text: "The databases that a server uses.",
		Children: []Child{
			{Type: "data-source", Name: Wildcard, Description: dataSource()},
			{Type: "jdbc-driver", Name: "sqlite", Implicit: true, Description: driver()},
			{Type: "jdbc-driver", Name: "postgresql", Implicit: true, Description: driver()},
			{Type: "jdbc-driver", Name: Wildcard, Description: driver()},
		},
	}
}

func dataSource() *Description {
	return &Description{
		Text:   "A database and its pool of connections. The identity server uses KeycloakDS.",
		Effect: Restart,
		Attributes: []Attribute{
			{Name: "connection-url", Type: String, Required: true, Effect: Restart,
				Text: "sqlite:<file> or postgresql://host:port/database; a leading jdbc: is accepted."},
			{Name: "driver-name", Type: String, Required: true, Effect: Restart, Reference: "jdbc-driver", Text: "The driver: sqlite or postgresql."},
			{Name: "user-name", Type: String, Effect: Restart, Text: "The database user."},
			{Name: "password", Type: String, Sensitive: true, Effect: Restart, Text: "The user's password."},
			{Name: "schema", Type: String, Effect: Restart, Text: "The schema that holds the tables, of PostgreSQL; it has to exist."},
			{Name: "min-pool-size", Type: Int, Default: int64(0), Range: &Range{0, 10000}, Unit: "connections", Effect: Reload, Text: "Connections for reading that stay open, however long nobody needs them."},
			{Name: "initial-pool-size", Type: Int, Range: &Range{0, 10000}, Unit: "connections", Effect: Reload, Text: "Connections opened at boot."},
			{Name: "max-pool-size", Type: Int, Default: int64(20), Range: &Range{1, 10000}, Unit: "connections", Effect: Reload, Text: "The most connections at one moment."},
			{Name: "idle-timeout-minutes", Type: Int, Default: int64(5), Range: &Range{0, 100000}, Unit: "minutes", Effect: Reload, Text: "How long a connection may be idle; 0 for ever."},
			{Name: "blocking-timeout-wait-millis", Type: Long, Default: int64(30000), Range: &Range{0, 1 << 31}, Unit: "milliseconds", Effect: Reload,
				Text: "How long a request waits for a connection when all are in use; then it fails, naming the data source."},
			{Name: "enabled", Type: Bool, Default: true, Effect: Restart, Text: "Whether it may be used."},
			kept(Attribute{Name: "jndi-name", Type: String, Text: "Another name of it, as java:jboss/datasources/KeycloakDS."}),
			kept(Attribute{Name: "pool-name", Type: String, Text: "Taken from WildFly's files."}),
			kept(Attribute{Name: "use-java-context", Type: Bool, Default: true, Text: "Taken from WildFly's files."}),
			kept(Attribute{Name: "jta", Type: Bool, Default: true, Text: "Taken from WildFly's files."}),
			kept(Attribute{Name: "check-valid-connection-sql", Type: String, Text: "Taken from WildFly's files; connections are checked by their driver."}),
			kept(Attribute{Name: "validate-on-match", Type: Bool, Default: false, Text: "Taken from WildFly's files."}),
			kept(Attribute{Name: "background-validation", Type: Bool, Default: false, Text: "Taken from WildFly's files."}),
		},
	}
}

func driver() *Description {
	return &Description{
		Text:   "A database driver. sqlite and postgresql are built in; what WildFly's files say about modules and classes is kept.",
		Effect: Restart,
		Attributes: []Attribute{
			kept(Attribute{Name: "driver-name", Type: String, Text: "The driver's name."}),
			kept(Attribute{Name: "driver-module-name", Type: String, Text: "Taken from WildFly's files."}),
			kept(Attribute{Name: "driver-class-name", Type: String, Text: "Taken from WildFly's files."}),
			kept(Attribute{Name: "driver-xa-datasource-class-name", Type: String, Text: "Taken from WildFly's files."}),
		},
	}
}
