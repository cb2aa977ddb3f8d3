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
			{Name: "schema", Type: String, Effect: Restart, Text: "The schema that holds the tables."},
			{Name: "min-pool-size", Type: Int, Default: int64(0), Range: &Range{0, 10000}, Unit: "connections", Effect: Reload, Text: "Connections that stay open."},
			{Name: "initial-pool-size", Type: Int, Range: &Range{0, 10000}, Unit: "connections", Effect: Reload, Text: "Connections opened at boot."},
			{Name: "max-pool-size", Type: Int, Default: int64(20), Range: &Range{1, 10000}, Unit: "connections", Effect: Reload, Text: "The most connections at one moment."},
			{Name: "idle-timeout-minutes", Type: Int, Default: int64(5), Range: &Range{0, 100000}, Unit: "minutes", Effect: Reload, Text: "How long a connection may be idle; 0 for ever."},
			{Name: "blocking-timeout-wait-millis", Type: Long, Default: int64(30000), Range: &Range{0, 1 << 31}, Unit: "milliseconds", Effect: Reload,
				Text: "How long a request waits for a free connection."},
			{Name: "enabled", Type: Bool, Default: true, Effect: Restart, Text: "Whether it may be used."},
			{Name: "jndi-name", Type: String, Effect: Restart, Text: "Another name of it, as java:jboss/datasources/KeycloakDS."},
			{Name: "pool-name", Type: String, Effect: Restart, Text: "Taken from WildFly's files."},
			{Name: "use-java-context", Type: Bool, Default: true, Effect: None, Text: "Taken from WildFly's files."},
			{Name: "jta", Type: Bool, Default: true, Effect: None, Text: "Taken from WildFly's files."},
			{Name: "check-valid-connection-sql", Type: String, Effect: None, Text: "Taken from WildFly's files; connections are checked by their driver."},
			{Name: "validate-on-match", Type: Bool, Default: false, Effect: None, Text: "Taken from WildFly's files."},
			{Name: "background-validation", Type: Bool, Default: false, Effect: None, Text: "Taken from WildFly's files."},
		},
	}
}

func driver() *Description {
	return &Description{
		Text:   "A database driver. sqlite and postgresql are built in; what WildFly's files say about modules and classes is kept.",
		Effect: Restart,
		Attributes: []Attribute{
			{Name: "driver-name", Type: String, Effect: Restart, Text: "The driver's name."},
			{Name: "driver-module-name", Type: String, Effect: None, Text: "Taken from WildFly's files."},
			{Name: "driver-class-name", Type: String, Effect: None, Text: "Taken from WildFly's files."},
			{Name: "driver-xa-datasource-class-name", Type: String, Effect: None, Text: "Taken from WildFly's files."},
		},
	}
}
