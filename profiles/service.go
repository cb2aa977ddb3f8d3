package profiles

// managementService describes who may manage, and the secrets that listeners
// use. Only the root's knows access control.
func managementService(root bool) *Description {
	d := &Description{
		Text:     "Management: security realms, access control, audit.",
		Effect:   Live,
		Children: []Child{{Type: "security-realm", Name: Wildcard, Ensured: true, Description: securityRealm()}},
	}
	if root {
		d.Children = append(d.Children,
			Child{Type: "access", Name: "authorization", Implicit: true, Description: accessAuthorization()},
			Child{Type: "access", Name: "audit", Implicit: true, Description: accessAudit()})
	}
	return d
}

// securityRealm is from the guide, "Setting up HTTPS/SSL".
func securityRealm() *Description {
	return &Description{
		Text:   "Named secrets: a certificate and its key, or a trust store.",
		Effect: Reload,
		Children: []Child{
			{Type: "server-identity", Name: "ssl", Description: &Description{
				Text:   "The certificate and the key that listeners of this realm present: a key store, or two PEM files.",
				Effect: Reload,
				Attributes: []Attribute{
					{Name: "keystore-path", Type: String, Effect: Reload, Text: "The key store: PKCS #12 or JKS. A store that is renewed is noticed by itself."},
					{Name: "keystore-relative-to", Type: String, Effect: Reload, Text: "The name of the path that keystore-path is below."},
					{Name: "keystore-password", Type: String, Sensitive: true, Effect: Reload, Text: "The key store's password."},
					{Name: "keystore-provider", Type: String, Effect: Reload, Text: "The key store's kind, JKS or PKCS12, where it is not to be found out from the file."},
					{Name: "alias", Type: String, Effect: Reload, Text: "The entry to use; the first with a key when left out."},
					{Name: "key-password", Type: String, Sensitive: true, Effect: Reload, Text: "The key's password, where it is not the store's; of JKS, PKCS #12 has one for both."},
					{Name: "certificate-file", Type: String, Effect: Reload, Text: "PEM: the certificate and its chain. A file that is renewed is noticed by itself."},
					{Name: "certificate-key-file", Type: String, Effect: Reload, Text: "PEM: the key."},
					kept(Attribute{Name: "protocol", Type: String, Default: "TLS", Text: "Taken from WildFly's files: TLS 1.2 and 1.3 are spoken."}),
					{Name: "enabled-protocols", Type: List, Effect: Reload, Text: "The protocols to speak: TLSv1.2, TLSv1.3."},
					{Name: "generate-self-signed-certificate-host", Type: String, Effect: Reload,
						Text: "Where there is no key store yet, make one with a certificate for this host name that only itself has signed, at keystore-path or in the server's data folder. For trying things out: browsers warn of it, and nothing renews it."},
				}}},
			{Type: "server-identity", Name: "secret", Description: &Description{
				Text:   "The secret that a host shows to the domain controller.",
				Effect: Live,
				Attributes: []Attribute{{Name: "value", Type: String, Required: true, Sensitive: true, Effect: Live,
					Text: "The secret as add-user printed it. Read from a host's file when the host joins, where domain-controller.remote names the realm."}}}},
			{Type: "authentication", Name: "truststore", Description: &Description{
				Text:   "Certificates of clients that are trusted.",
				Effect: Reload,
				Attributes: []Attribute{
					{Name: "keystore-path", Type: String, Required: true, Effect: Reload, Text: "The trust store: PKCS #12, JKS, or PEM certificates."},
					{Name: "keystore-relative-to", Type: String, Effect: Reload, Text: "The name of the path that keystore-path is below."},
					{Name: "keystore-password", Type: String, Sensitive: true, Effect: Reload, Text: "The trust store's password."},
				}}},
			{Type: "authentication", Name: "local", Description: &Description{
				Text: "Callers on the same machine are known by the operating system.", Effect: Live,
				Attributes: []Attribute{kept(Attribute{Name: "default-user", Type: String, Text: "Who they are."})}}},
		},
	}
}

func accessAuthorization() *Description {
	member := &Description{
		Text: "A user or a group that has the role, or that never has it.", Effect: Live,
		Attributes: []Attribute{
			{Name: "name", Type: String, Required: true, Literal: true, Effect: Live, Text: "The user's or group's name."},
			{Name: "type", Type: String, Default: "USER", Allowed: []string{"USER", "GROUP"}, Literal: true, Effect: Live, Text: "What the name is of."},
			{Name: "realm", Type: String, Literal: true, Effect: Live, Text: "Taken from WildFly's files."},
		},
	}
	scoped := func(what, list string) *Description {
		return &Description{
			Text: "A role that holds only for " + what + ".", Effect: Live,
			Attributes: []Attribute{
				{Name: "base-role", Type: String, Required: true, Literal: true, Effect: Live, Text: "The role that it is like.",
					Allowed: []string{"Monitor", "Operator", "Maintainer", "Deployer", "Administrator", "Auditor", "SuperUser"}},
				{Name: list, Type: List, Literal: true, Effect: Live, Text: "Where it holds; what is elsewhere looks absent."},
			},
		}
	}
	return &Description{
		Text:   "Who may do what.",
		Effect: Live,
		Attributes: []Attribute{
			{Name: "provider", Type: String, Default: "simple", Allowed: []string{"simple", "rbac"}, Literal: true, Effect: Live,
				Text: "simple: management users have the roles that they were added with. rbac: the role mappings here add to them and take from them."},
			{Name: "permission-combination-policy", Type: String, Default: "permissive", Allowed: []string{"permissive", "rejecting"}, Literal: true, Effect: Live,
				Text: "Whether several roles add up, or are refused."},
		},
		Children: []Child{
			{Type: "role-mapping", Name: Wildcard, Description: &Description{
				Text: "Who has a role.", Effect: Live,
				Attributes: []Attribute{{Name: "include-all", Type: Bool, Default: false, Literal: true, Effect: Live, Text: "Every management user has it."}},
				Children: []Child{
					{Type: "include", Name: Wildcard, Description: member},
					{Type: "exclude", Name: Wildcard, Description: member},
				}}},
			{Type: "host-scoped-role", Name: Wildcard, Description: scoped("some hosts", "hosts")},
			{Type: "server-group-scoped-role", Name: Wildcard, Description: scoped("some server groups", "server-groups")},
		},
	}
}

func accessAudit() *Description {
	file := func(typ, text string, more ...Attribute) Child {
		return Child{Type: typ, Name: Wildcard, Description: &Description{Text: text, Effect: Live, Attributes: append([]Attribute{
			{Name: "path", Type: String, Required: true, Effect: Live, Text: "The file."},
			{Name: "relative-to", Type: String, Effect: Live, Text: "The name of the path that the file is below; the controller's folder when left out."},
		}, more...)}}
	}
	return &Description{
		Text:   "The record of every management operation.",
		Effect: Live,
		Children: []Child{
			{Type: "logger", Name: "audit-log", Implicit: true, Description: &Description{
				Text: "What is recorded.", Effect: Live,
				Attributes: []Attribute{
					{Name: "enabled", Type: Bool, Default: true, Effect: Live, Text: "Whether operations are recorded."},
					{Name: "log-boot", Type: Bool, Default: true, Effect: Live, Text: "Whether those of the boot are."},
					{Name: "log-read-only", Type: Bool, Default: true, Effect: Live, Text: "Whether reads are."},
				}}},
			file("file-handler", "A file of JSON lines.",
				Attribute{Name: "rotate-at-startup", Type: Bool, Default: false, Effect: Live,
					Text: "Whether what a controller finds in it when it starts is put aside, under a name with that moment. Old files are nobody's to remove but yours."}),
			file("periodic-rotating-file-handler", "A file of JSON lines a day.",
				Attribute{Name: "suffix", Type: String, Default: ".yyyy-MM-dd", Effect: Live,
					Text: "What is put behind the name of a file whose time is over: a form as of Java's SimpleDateFormat, whose smallest part says how often. .yyyy-MM-dd-HH is every hour."}),
			file("size-rotating-file-handler", "A file of JSON lines until it is large.",
				Attribute{Name: "rotate-size", Type: Size, Default: "10m", Unit: "bytes", Effect: Live, Text: "The largest file."},
				Attribute{Name: "max-backup-index", Type: Int, Default: int64(1), Range: &Range{0, 1000}, Effect: Live, Text: "How many older files stay, .1 the newest."}),
			{Type: "syslog-handler", Name: Wildcard, Description: &Description{
				Text: "A syslog receiver, RFC 5424.", Effect: Live,
				Attributes: []Attribute{
					{Name: "host", Type: String, Default: "localhost", Effect: Live, Text: "The receiver."},
					{Name: "port", Type: Int, Default: int64(514), Range: &Range{1, 65535}, Effect: Live, Text: "Its port."},
					{Name: "protocol", Type: String, Default: "udp", Allowed: []string{"udp", "tcp", "tls"}, Effect: Live, Text: "How to send."},
					{Name: "facility", Type: String, Default: "user-level", Effect: Live,
						Text: "The facility: user-level, log-audit, local-use-0 and the others of WildFly, or the usual keywords as user, authpriv, local0."},
					{Name: "app-name", Type: String, Default: "gatehouse-audit", Effect: Live, Text: "APP-NAME of the messages."},
				}}},
		},
	}
}
