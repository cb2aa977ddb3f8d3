package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/server/storage/relational"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// The exit codes, as those of Keycloak's command (Keycloak 26, guide "Checking if
// rolling updates are possible"); 2, a wrong command line, is every command's.
const (
	updateRolling  exitCode = 0
	updateUnknown  exitCode = 1
	updateRecreate exitCode = 3
)

type updateCompatibilityCommand struct {
	Metadata compatibilityMetadata `cmd:"" help:"Write what runs now, for a later check."`
	Check    compatibilityCheck    `cmd:"" help:"Say whether what would run now can replace what was written, server by server."`
}

// Help is the long help.
func (updateCompatibilityCommand) Help() string {
	return `Says whether a domain can go from one version or configuration to another by a rolling update, with
some servers old and some new meanwhile, or whether all servers must be stopped first. Run "metadata"
with the old program and configuration, then "check" with the new ones.

Exit codes: 0 rolling update is possible; 1 it could not be found out, as with a file that is missing or
damaged; 2 the command line is wrong; 3 rolling update is not possible.`
}

// compatibilityInput is the configuration that is looked at.
type compatibilityInput struct {
	Config     string   `help:"The domain.toml to look at, or an answer of :read-config-as-toml. Default: that of the running domain." placeholder:"FILE" type:"path"`
	Properties []string `short:"D" sep:"none" help:"System properties that the hosts give, name=value." placeholder:"NAME=VALUE"`
	remote
}

type compatibilityMetadata struct {
	compatibilityInput
	File string `help:"Where the metadata is written; to standard output otherwise." placeholder:"FILE" type:"path"`
}

type compatibilityCheck struct {
	compatibilityInput
	File string `required:"" help:"The metadata of what ran before." placeholder:"FILE" type:"path"`
}

// metadataFormat is the version of the file's form.
const metadataFormat = 1

// updateMetadata is a version with a configuration, its secrets sealed.
type updateMetadata struct {
	Format         int    `json:"format"`
	Version        string `json:"version"`
	OldestProtocol uint32 `json:"oldest-protocol"`
	NewestProtocol uint32 `json:"newest-protocol"`
	// Schema is the version of the database's schema that the program makes, and
	// OldestSchema the oldest whose programs may use it too; 0 is not told.
	Schema       int64  `json:"schema,omitempty"`
	OldestSchema int64  `json:"oldest-schema,omitempty"`
	Salt         []byte `json:"salt"`
	// Groups are what a server of a group is without anything of its own; Servers,
	// by "host/server", what each one is with all that host and server add.
	Groups  map[string]servergroups.ServerConfig `json:"server-groups"`
	Servers map[string]servergroups.ServerConfig `json:"servers,omitempty"`
}

// Run writes the metadata.
func (c compatibilityMetadata) Run(ctx context.Context, env Env) error {
	return unexpected(env, func() error {
		salt := make([]byte, 16)
		if _, err := rand.Read(salt); err != nil {
			return err
		}
		m, err := c.describe(ctx, env, salt)
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			return err
		}
		text = append(text, '\n')
		if c.File == "" {
			_, err = env.Stdout.Write(text)
			return err
		}
		return os.WriteFile(c.File, text, 0o600)
	})
}

// Run compares.
func (c compatibilityCheck) Run(ctx context.Context, env Env) error {
	verdict := updateRolling
	err := unexpected(env, func() error {
		text, err := os.ReadFile(c.File)
		if err != nil {
			return problem.NotFound.Errorf("cannot read the metadata: %w", err)
		}
		var old updateMetadata
		if err := json.Unmarshal(text, &old); err != nil || old.Format != metadataFormat {
			return problem.Invalid.Errorf("cannot read the metadata: %s is not what this version's `update-compatibility metadata` writes (format %d, want %d): %v", c.File, old.Format, metadataFormat, err)
		}
		next, err := c.describe(ctx, env, old.Salt)
		if err != nil {
			return err
		}
		if !compatible(env.Stdout, old, next) {
			verdict = updateRecreate
		}
		return nil
	})
	if err == nil && verdict != updateRolling {
		return verdict
	}
	return err
}

// unexpected gives whatever goes wrong the exit code that it has in Keycloak.
func unexpected(env Env, run func() error) error {
	if err := run(); err != nil {
		fmt.Fprintln(env.Stderr, "gatehouse:", err)
		return updateUnknown
	}
	return nil
}

// describe looks at this program and the configuration.
func (c compatibilityInput) describe(ctx context.Context, env Env, salt []byte) (m updateMetadata, err error) {
	name, text, err := c.read(ctx, env)
	if err != nil {
		return m, err
	}
	tree, err := profiles.ParseTOML(name, text)
	if err != nil {
		return m, err
	}
	properties, err := agentFlags{Properties: c.Properties}.properties()
	if err != nil {
		return m, err
	}
	lookup := servergroups.Lookup{Properties: properties, Env: func(name string) (string, bool) { v := env.Getenv(name); return v, v != "" }}
	groups, err := servergroups.Representative(tree, lookup)
	if err != nil {
		return m, err
	}
	servers, err := servergroups.Every(tree, lookup)
	if err != nil {
		return m, err
	}
	for _, configs := range []map[string]servergroups.ServerConfig{groups, servers} {
		for name, config := range configs {
			if configs[name], err = config.Sealed(salt); err != nil {
				return m, err
			}
		}
	}
	m = updateMetadata{Format: metadataFormat, Version: version, OldestProtocol: hostlink.OldestProtocol,
		NewestProtocol: hostlink.NewestProtocol, Salt: salt, Groups: groups, Servers: servers}
	m.Schema, m.OldestSchema, err = relational.Schema()
	return m, err
}

func (c compatibilityInput) read(ctx context.Context, env Env) (name string, text []byte, err error) {
	if c.Config != "" {
		text, err = os.ReadFile(c.Config)
		return c.Config, text, err
	}
	target, err := c.dial(ctx, env, nil)
	if err != nil {
		return "", nil, err
	}
	defer target.Close()
	response, err := target.Execute(ctx, profiles.Operation{Name: "read-config-as-toml"})
	if err != nil {
		return "", nil, err
	}
	answer, ok := response.Result.(string)
	if !ok {
		return "", nil, problem.Internal.Errorf("cannot read the domain's configuration: the controller answered no text")
	}
	return "the running domain", []byte(answer), nil
}

// sameMinor: within a minor version any release may stand beside any other.
// What is no release number is itself only.
func sameMinor(one, two string) bool {
	if one == two {
		return true
	}
	minor := func(version string) (string, bool) {
		parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
		if len(parts) != 3 {
			return "", false
		}
		for _, p := range parts[:2] {
			if strings.Trim(p, "0123456789") != "" || p == "" {
				return "", false
			}
		}
		return parts[0] + "." + parts[1], true
	}
	first, ok := minor(one)
	second, too := minor(two)
	return ok && too && first == second
}
