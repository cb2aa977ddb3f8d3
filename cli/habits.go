package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/cli/dmr"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// elsewhere are commands of jboss-cli for things that an identity server has not,
// and what there is instead.
var elsewhere = map[string]string{
	"deploy": noDeployments, "undeploy": noDeployments, "deployment": noDeployments, "deployment-info": noDeployments, "deployment-overlay": noDeployments,
	"patch":     "a new version is a new program: install it and use :rolling-restart",
	"module":    "there are no class path modules; providers are part of the program",
	"jms":       "there is no messaging",
	"jms-queue": "there is no messaging", "jms-topic": "there is no messaging", "connection-factory": "there is no messaging",
	"data-source":      "use /subsystem=datasources/data-source=NAME:add(...)",
	"xa-data-source":   "use /subsystem=datasources/data-source=NAME:add(...); there are no distributed transactions",
	"jdbc-driver-info": "the drivers sqlite and postgresql are part of the program",
	"security":         "use /core-service=management/security-realm=NAME and the https-listener",
	"rollout-plan":     "use /rollout-plan=NAME:add(content=...)",
	"gui":              "the console is served on the management port: /console",
	"attachment":       "use support-bundle, or read-log-file",
}

const noDeployments = "nothing is deployed on an identity server; realms come with gatehouse import, themes from the folder that /subsystem=identity/theme=defaults names"

func (s *Session) clear(context.Context, string) error {
	if !s.settings.Terminal {
		return nil
	}
	_, err := fmt.Fprint(s.settings.Out, "\x1b[H\x1b[2J")
	return err
}

// echoDMR prints an operation as it would be sent.
func (s *Session) echoDMR(_ context.Context, text string) error {
	op, err := s.parse(text)
	if err != nil {
		return err
	}
	data, err := json.Marshal(op)
	if err != nil {
		return problem.Internal.Errorf("cannot encode the operation: %w", err)
	}
	if s.settings.Format == JSON {
		_, err = fmt.Fprintln(s.settings.Out, string(data))
		return err
	}
	var plain any
	if err := into(json.RawMessage(data), &plain); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.settings.Out, dmr.String(plain))
	return err
}

func (s *Session) reload(ctx context.Context, arguments string) error {
	return s.whole(ctx, "reload", arguments, "--host=")
}

func (s *Session) shutdown(ctx context.Context, arguments string) error {
	return s.whole(ctx, "shutdown", arguments, "--host=", "--restart", "--suspend-timeout=", "--timeout=")
}

// whole runs an operation on a standalone server, or on a host of a domain.
func (s *Session) whole(ctx context.Context, name, arguments string, known ...string) error {
	flags, rest, err := options(name, arguments, known...)
	if err == nil && len(rest) > 0 {
		err = problem.Invalid.Errorf("cannot use %s with %q: it knows %s", name, rest[0], strings.Join(known, " "))
	}
	if err == nil {
		err = s.connected(ctx)
	}
	if err != nil {
		return err
	}
	op := profiles.Operation{Name: name, Params: map[string]any{}}
	switch host, given := flags["--host"]; {
	case given:
		op.Address = profiles.Address{{Type: "host", Name: host}}
	case s.target.Mode == profiles.Domain:
		return problem.WithHint(problem.Invalid.Errorf("cannot %s a domain: say which host", name),
			"use %s --host=NAME, or /server-group=NAME:rolling-restart for servers", name)
	}
	if value, given := flags["--restart"]; given {
		op.Params["restart"] = value != "false"
	}
	for _, flag := range [...]string{"--suspend-timeout", "--timeout"} {
		if value, given := flags[flag]; given {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				return problem.Invalid.Errorf("cannot use %s with %s=%s: want seconds", name, flag, value)
			}
			op.Params["suspend-timeout"] = n
		}
	}
	response, err := s.execute(ctx, op)
	return s.print(response, err)
}

// listCommands prints the names of the commands, beside each other.
func (s *Session) listCommands() error {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	slices.Sort(names)
	s.printList(names, false)
	return nil
}
