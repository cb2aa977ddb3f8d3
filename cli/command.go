package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatehouse-idp/gatehouse/cli/script"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// command is one command of the shell that is not an operation.
type command struct {
	name  string
	usage string
	text  string // one line
	run   func(s *Session, ctx context.Context, arguments string) error
}

// commands are all of them, in the order of help.
func commands() []command {
	return []command{
		{"connect", "connect [ADDRESS ...]", "Connect to a controller: host:port, or the path of its socket.", (*Session).connect},
		{"cd", "cd [ADDRESS]", "Change the current node; .. is its parent, / the root.", (*Session).cd},
		{"ls", "ls [ADDRESS | CHILD-TYPE] [-l]", "List children and attributes.", (*Session).ls},
		{"pwd", "pwd", "Print the current node.", (*Session).pwd},
		{"pwn", "pwn", "Same as pwd.", (*Session).pwd},
		{"read-attribute", "read-attribute [--node=ADDRESS] NAME", "Print an attribute of the current node.", (*Session).readAttribute},
		{"read-operation", "read-operation [--node=ADDRESS] [NAME]", "List operations, or describe one.", (*Session).readOperation},

		{"batch", "batch [-l | NAME]", "Begin a batch: operations wait for run-batch. With a name, take up one that is held back.", (*Session).beginBatch},
		{"list-batch", "list-batch", "Print the batch, numbered.", (*Session).listBatch},
		{"edit-batch-line", "edit-batch-line NUMBER OPERATION", "Replace a line of the batch.", (*Session).editBatchLine},
		{"remove-batch-line", "remove-batch-line NUMBER", "Remove a line of the batch.", (*Session).removeBatchLine},
		{"move-batch-line", "move-batch-line FROM TO", "Move a line of the batch.", (*Session).moveBatchLine},
		{"holdback-batch", "holdback-batch [NAME]", "Put the batch aside.", (*Session).holdbackBatch},
		{"discard-batch", "discard-batch", "Forget the batch.", (*Session).discardBatch},
		{"run-batch", "run-batch [--file=FILE]", "Run the batch: all of it happens or nothing.", (*Session).runBatch},

		{"apply", "apply -f FILE [--dry-run]", "Make the domain equal to a TOML file; prints the plan first.", (*Session).apply},
		{"diff", "diff -f FILE | diff FROM [TO]", "Compare the domain with a file, or two revisions.", (*Session).diff},
		{"plan", "plan OPERATION", "Show what an operation would change, and which servers it would restart.", (*Session).plan},
		{"history", "history [COUNT]", "List revisions, newest first.", (*Session).history},
		{"rollouts", "rollouts", "List rollouts.", (*Session).rollouts},
		{"support-bundle", "support-bundle [FILE] [--host=HOST]", "Write what support needs to a file: configuration with secrets masked, state, logs.", (*Session).supportBundle},
		{"logs", "logs [--follow] [server-group=G | host=H [server=S]]", "Print the servers' logs.", (*Session).logs},

		{"set", "set NAME=VALUE | set NAME=`OPERATION`", "Set a variable; $NAME stands for it. Without arguments, list them.", (*Session).set},
		{"unset", "unset NAME", "Forget a variable.", (*Session).unset},
		{"echo", "echo TEXT", "Print a text.", (*Session).echo},
		{"if", "if CONDITION of OPERATION ... [else ...] end-if", "Run commands by what an operation answers: if (outcome == success) of ...", nil},
		{"try", "try ... [catch ...] [finally ...] end-try", "Run commands when others fail.", nil},
		{"for", "for NAME in OPERATION ... done", "Run commands for each element of an operation's result.", nil},

		{"embed-server", "embed-server [--server-config=FILE] [--std-out=echo]", "Edit a standalone server's file offline.", (*Session).embedServer},
		{"stop-embedded-server", "stop-embedded-server", "Leave the offline editing.", (*Session).stopEmbedded},
		{"embed-host-controller", "embed-host-controller [--domain-config=FILE] [--std-out=echo]", "Edit a domain's file offline.", (*Session).embedDomain},
		{"stop-embedded-host-controller", "stop-embedded-host-controller", "Leave the offline editing.", (*Session).stopEmbedded},

		{"echo-dmr", "echo-dmr OPERATION", "Print an operation as it would be sent.", (*Session).echoDMR},
		{"reload", "reload [--host=HOST]", "Start a standalone server's services anew, or those of a host's agent.", (*Session).reload},
		{"shutdown", "shutdown [--host=HOST] [--restart] [--suspend-timeout=S]", "Stop a standalone server, or a host.", (*Session).shutdown},
		{"clear", "clear", "Clear the screen.", (*Session).clear},
		{"version", "version", "Print the version.", (*Session).version},
		{"help", "help [COMMAND | --commands]", "Describe the commands, or one; --commands lists their names.", (*Session).help},
		{"quit", "quit", "Leave.", (*Session).quit},
		{"exit", "exit", "Leave.", (*Session).quit},
	}
}

func commandNamed(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name && c.run != nil {
			return c, true
		}
	}
	return command{}, false
}

func (s *Session) help(_ context.Context, name string) error {
	if name == "--commands" {
		return s.listCommands()
	}
	if name == "" {
		fmt.Fprint(s.settings.Out, "An operation is /type=name/type=name:operation(parameter=value){header=value}; the address is\nrelative to the current node unless it begins with a slash. Tab completes.\nBehind a command, | grep [-i] [-v] PATTERN chooses lines, > FILE and >> FILE write them to a file.\n${name} is an expression of the model, $name a variable. Commands:\n\n")
	}
	found := false
	for _, c := range commands() {
		if name == "" || c.name == name {
			found = true
			fmt.Fprintf(s.settings.Out, "  %-58s %s\n", c.usage, c.text)
		}
	}
	if !found {
		return s.unknown("help "+name, name)
	}
	if name == "" {
		fmt.Fprint(s.settings.Out, "\n"+exitHelp)
	}
	return nil
}

// exitHelp documents the exit codes: those of internal/problem.
const exitHelp = `Exit codes: 0 all succeeded; 2 invalid input; 4 not found; 5 conflict, or changed meanwhile;
6 not logged in; 7 not allowed; 8 no controller reachable; 9 too large; 10 timeout;
11 the state does not allow it; 12 not supported; 70 a fault of Gatehouse.
`

func (s *Session) quit(context.Context, string) error {
	s.left = true
	return nil
}

func (s *Session) version(context.Context, string) error {
	fmt.Fprintln(s.settings.Out, "gatehouse", s.settings.Version)
	if s.target != nil {
		fmt.Fprintf(s.settings.Out, "connected to %s (%s)\n", s.target.Label, s.target.Mode)
	}
	return nil
}

func (s *Session) echo(_ context.Context, text string) error {
	_, err := fmt.Fprintln(s.settings.Out, script.Unquote(text))
	return err
}

func (s *Session) connect(ctx context.Context, arguments string) error {
	c, err := s.settings.Connect(ctx, script.Words(arguments))
	if err != nil {
		return err
	}
	return s.Use(c)
}

// options splits a command's arguments into flags, --name=value, -x or --name,
// and the rest. Flags that are not in known are refused.
func options(command, arguments string, known ...string) (flags map[string]string, rest []string, err error) {
	flags = map[string]string{}
	words := script.Words(arguments)
	for i := 0; i < len(words); i++ {
		word := words[i]
		if !strings.HasPrefix(word, "-") || word == "-" {
			rest = append(rest, word)
			continue
		}
		name, value, given := strings.Cut(word, "=")
		valued := false
		ok := false
		for _, k := range known {
			k, takesValue := strings.CutSuffix(k, "=")
			if k == name {
				ok, valued = true, takesValue
			}
		}
		if !ok {
			return nil, nil, problem.Invalid.Errorf("cannot use %s with the option %s: it knows %s", command, name, strings.Join(known, " "))
		}
		if valued && !given {
			if i++; i >= len(words) {
				return nil, nil, problem.Invalid.Errorf("cannot use %s: %s needs a value", command, name)
			}
			value = words[i]
		}
		flags[name] = script.Unquote(value)
	}
	return flags, rest, nil
}

func has(flags map[string]string, name string) bool {
	_, ok := flags[name]
	return ok
}
