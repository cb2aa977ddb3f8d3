package profiles

import "github.com/gatehouse-idp/gatehouse/internal/problem"

// documentOperations concern the whole tree and its history; who keeps them
// answers.
func documentOperations() []OperationDescription {
	revision := func(name, text string) Attribute { return Attribute{Name: name, Type: Long, Text: text} }
	toml := Attribute{Name: "toml", Type: String, Verbatim: true, Text: "The text of a TOML file."}
	file := Attribute{Name: "file", Type: String, Verbatim: true, Text: "The file's name, for messages."}
	required := toml
	required.Required = true
	return []OperationDescription{
		{Name: "history", Text: "The revisions, newest first: number, author, time, comment.", ReadOnly: true, Runtime: true, Reply: List,
			Params: []Attribute{
				{Name: "limit", Type: Int, Default: int64(20), Range: &Range{1, 1 << 20}, Text: "How many, in a domain; a standalone server gives all."},
				revision("before", "Only those before this one."),
			}},
		{Name: "diff", Text: "The changes from one revision to another, or from the present one to a file.", ReadOnly: true, Runtime: true, Reply: List,
			Params: []Attribute{revision("from", "The older revision."), revision("to", "The newer revision; the present one when left out."), toml, file}},
		{Name: "revert", Text: "Make the tree what it was at a revision; that is a revision of its own.", Runtime: true,
			Params: []Attribute{revision("to", "The revision to go back to.")}},
		{Name: "apply", Text: "Make the tree equal to a TOML file; that is a revision of its own.", Runtime: true, Params: []Attribute{required, file}},
		{Name: "read-config-as-toml", Text: "The tree as a TOML file.", ReadOnly: true, Reply: String,
			Params: []Attribute{revision("revision", "An older revision; the present one when left out.")}},
	}
}

// userOperations concern those who manage; the management interface answers.
func userOperations() []OperationDescription {
	name := Attribute{Name: "name", Type: String, Literal: true, Required: true, Text: "The user's name."}
	password := Attribute{Name: "password", Type: String, Verbatim: true, Required: true, Sensitive: true,
		Text: "The password. It is kept as a SCRAM verifier only; on a command line others may see it: gatehouse add-user asks for it."}
	grants := []Attribute{
		{Name: "roles", Type: Text, Literal: true, Required: true, Text: "Monitor, Operator, Maintainer, Deployer, Administrator, Auditor, SuperUser: one or a list."},
		{Name: "hosts", Type: Text, Literal: true, Text: "The hosts that the roles hold for; all when left out."},
		{Name: "server-groups", Type: Text, Literal: true, Text: "The server groups that the roles hold for; all when left out."},
	}
	return []OperationDescription{
		{Name: "whoami", Text: "The caller's name and how it is known.", ReadOnly: true, Runtime: true, Reply: Object,
			Params: []Attribute{{Name: "verbose", Type: Bool, Default: false, Text: "Also the roles."}}},
		{Name: "list-users", Text: "The management users and their roles.", ReadOnly: true, Runtime: true, Reply: Object},
		{Name: "add-user", Text: "Add a management user.", Runtime: true, Params: append([]Attribute{name, password}, grants...)},
		{Name: "remove-user", Text: "Remove a management user; its sessions end.", Runtime: true, Params: []Attribute{name}},
		{Name: "set-user-password", Text: "Give a management user a new password; its sessions end.", Runtime: true, Params: []Attribute{name, password}},
		{Name: "end-user-sessions", Text: "End the sessions of a management user; it logs in again.", Runtime: true, Params: []Attribute{name}},
		{Name: "set-user-roles", Text: "Give a management user these roles, and no others.", Runtime: true, Params: append([]Attribute{name}, grants...)},
	}
}

// membershipOperations concern who belongs to a domain; its controllers answer.
func membershipOperations() []OperationDescription {
	host := Attribute{Name: "name", Type: String, Literal: true, Required: true, Text: "The host's name."}
	controller := Attribute{Name: "name", Type: String, Literal: true, Required: true, Text: "The controller's name."}
	return []OperationDescription{
		{Name: "hosts", Text: "The hosts: whether they are connected, since when, what they run.", ReadOnly: true, Runtime: true, Reply: List},
		{Name: "add-host", Text: "Invite a host: a join token, which is shown once. A token that it had before is good no more.", Runtime: true, Reply: Object,
			Params: []Attribute{host}},
		{Name: "remove-host", Text: "Take a host out of the domain: it can neither connect nor join. Its servers run until they are stopped.", Runtime: true,
			Params: []Attribute{host}},
		{Name: "register-host", Text: "Make a host's part of the tree anew. Its agent does so when it connects, from the host's file.", Runtime: true, Params: []Attribute{
			{Name: "host", Type: String, Literal: true, Required: true, Text: "The host's name."},
			{Name: "operations", Type: String, Verbatim: true, Required: true, Text: "The operations that make it, a list in JSON."},
		}},
		{Name: "revoke", Text: "Refuse the certificates that a host or a controller has now.", Runtime: true, Params: []Attribute{
			{Name: "host", Type: String, Literal: true, Text: "The host."},
			{Name: "controller", Type: String, Literal: true, Text: "The controller."},
		}},
		{Name: "controllers", Text: "The controllers: where they are, and which one leads.", ReadOnly: true, Runtime: true, Reply: List},
		{Name: "add-controller", Text: "Invite a controller: a join token, which is shown once.", Runtime: true, Reply: Object, Params: []Attribute{controller}},
		{Name: "remove-controller", Text: "Take a controller out of the domain.", Runtime: true, Params: []Attribute{controller}},
		{Name: "transfer-leadership", Text: "Hand the lead to another controller.", Runtime: true, Params: []Attribute{
			{Name: "to", Type: String, Literal: true, Text: "The controller; the one that is most up to date when left out."},
		}},
		{Name: "rollouts", Text: "The rollouts, newest first, with the state of each server.", ReadOnly: true, Runtime: true, Reply: List},
	}
}

// Parameters are an operation's parameters as its description has them: by their
// own names, of their types. What it does not describe is refused. An operation
// without a description has those that it was given.
func (m Mode) Parameters(op Operation) (map[string]any, error) {
	d, err := m.Describe(op.Address)
	if err != nil {
		return nil, problem.KindOf(err).Errorf("cannot run %s: %w", op.brief(), err)
	}
	for _, od := range d.AllOperations() {
		if od.Name != op.Name {
			continue
		}
		given, err := readParams(od, d, op)
		if err != nil {
			return nil, problem.Invalid.Errorf("cannot run %s: %w", op.brief(), err)
		}
		described := &Description{Attributes: od.Params}
		out := map[string]any{}
		for name := range op.Params {
			if attr, ok := described.Attribute(name); ok && given[attr.Name] != nil {
				out[attr.Name] = given[attr.Name]
			}
		}
		return out, nil
	}
	return op.Params, nil
}
