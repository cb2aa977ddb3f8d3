package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/gatehouse-idp/gatehouse/cli"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

//go:generate go run . reference ../../docs/reference

type referenceCommand struct {
	Dir string `arg:"" help:"Folder to write to." type:"path"`
}

// Run writes the reference; the same bytes from the same program.
func (c referenceCommand) Run(ctx context.Context, k *kong.Context, env Env) error {
	shell, err := shellReference(ctx, env)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return problem.Invalid.Errorf("cannot write the reference: %w", err)
	}
	for name, text := range map[string][]byte{
		"README.md":           []byte(referenceIndex),
		"model-domain.md":     profiles.Reference(profiles.Domain),
		"model-standalone.md": profiles.Reference(profiles.Standalone),
		"commands.md":         append(commandReference(k.Model.Node), shell...),
		"exit-codes.md":       exitCodeReference(),
	} {
		if err := os.WriteFile(filepath.Join(c.Dir, name), text, 0o644); err != nil {
			return problem.Invalid.Errorf("cannot write the reference: %w", err)
		}
	}
	return nil
}

const referenceIndex = `# Reference

Made from the program by ` + "`make generate`" + `; do not edit.

- [Commands](commands.md): every command and flag of the binary, and the commands of the management shell
- [Management model of a domain](model-domain.md): every resource, attribute and operation
- [Management model of a standalone server](model-standalone.md)
- [Exit codes](exit-codes.md), and what they are over HTTP and gRPC

The HTTP management API describes itself: ` + "`GET /management/openapi.json`" + ` on the management port.
`

// commandReference describes every command that is not hidden.
func commandReference(root *kong.Node) []byte {
	var out bytes.Buffer
	out.WriteString("# Commands\n\nMade from the program; do not edit. `--help` shows the same. A flag with a variable in brackets can be given by the environment.\n")
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		for _, child := range n.Children {
			if !child.Hidden {
				describeCommand(&out, child)
				visit(child)
			}
		}
	}
	visit(root)
	return out.Bytes()
}

func describeCommand(out *bytes.Buffer, n *kong.Node) {
	fmt.Fprintf(out, "\n## `%s`\n\n%s\n", strings.TrimSpace(n.FullPath()+" "+arguments(n)), n.Help)
	if n.Detail != "" {
		fmt.Fprintf(out, "\n```text\n%s\n```\n", strings.TrimSpace(n.Detail))
	}
	rows := 0
	row := func(name, text string) {
		if rows++; rows == 1 {
			out.WriteString("\n| flag | meaning |\n| --- | --- |\n")
		}
		fmt.Fprintf(out, "| `%s` | %s |\n", name, strings.NewReplacer("|", `\|`, "\n", " ").Replace(text))
	}
	for _, argument := range n.Positional {
		row("<"+argument.Name+">", argument.Help)
	}
	for _, flag := range n.Flags {
		if !flag.Hidden && flag.Name != "help" {
			row(flagUsage(flag), flagMeaning(flag))
		}
	}
}

func arguments(n *kong.Node) string {
	var words []string
	for _, argument := range n.Positional {
		words = append(words, argument.Summary())
	}
	return strings.Join(words, " ")
}

func flagUsage(f *kong.Flag) string {
	usage := "--" + f.Name
	if f.Short != 0 {
		usage = "-" + string(f.Short) + ", " + usage
	}
	if !f.IsBool() && !f.IsCounter() {
		usage += "=" + f.FormatPlaceHolder()
	}
	return usage
}

func flagMeaning(f *kong.Flag) string {
	text := f.Help
	if f.Enum != "" && !strings.Contains(text, f.Enum) {
		text += " One of: " + strings.ReplaceAll(strings.Trim(f.Enum, ","), ",", ", ") + "."
	}
	if f.HasDefault && f.Default != "" {
		text += " Default: `" + f.Default + "`."
	}
	if f.Required {
		text += " Required."
	}
	if len(f.Envs) > 0 {
		text += " [" + strings.Join(f.Envs, ", ") + "]"
	}
	return text
}

// shellReference is what the management shell says of itself.
func shellReference(ctx context.Context, env Env) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("\n## The management shell\n\nInside `gatehouse cli`, in `--command`, and in scripts:\n\n```text\n")
	session := cli.NewSession(cli.Settings{Out: &out, Err: io.Discard, Format: cli.Text, Version: version, Clock: env.Clock})
	if err := session.Line(ctx, "help"); err != nil {
		return nil, err
	}
	out.WriteString("```\n")
	return out.Bytes(), session.Close()
}

// meanings say to people what a kind of problem is.
var meanings = [...]string{
	problem.Internal:     "A fault of Gatehouse. Please report it with the log.",
	problem.Invalid:      "The input is wrong and stays wrong: a flag, a file, a value. The message names it and what would be valid.",
	problem.NotFound:     "What was named does not exist.",
	problem.Conflict:     "It exists already, another process has it, or it changed meanwhile.",
	problem.Unauthorized: "The caller is not known: no login, or a wrong one.",
	problem.Forbidden:    "The caller may not do it; the message names the roles that may.",
	problem.Unavailable:  "Nobody answers, or a port is taken. Trying again may help.",
	problem.TooLarge:     "Over a limit, which the message names.",
	problem.Timeout:      "It was not done in time.",
	problem.Precondition: "The state does not allow it now: a stale --expect-revision, a reload that cannot start.",
	problem.Unsupported:  "Known, but not by this version or setting.",
}

func exitCodeReference() []byte {
	var out bytes.Buffer
	out.WriteString("# Exit codes\n\nMade from the program; do not edit. Every command ends with 0 when it did what it was asked, else with the code of the problem's kind. The management interface reports the same kinds.\n\n| kind | exit code | HTTP | gRPC | meaning |\n| --- | --- | --- | --- | --- |\n")
	for i, meaning := range meanings {
		k := problem.Kind(i)
		fmt.Fprintf(&out, "| %s | %d | %d | %s | %s |\n", k, k.Exit(), k.HTTP(), k.GRPC(), meaning)
	}
	return out.Bytes()
}
