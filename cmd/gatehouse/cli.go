package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/gatehouse-idp/gatehouse/cli"
	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// remote says which controller to talk to and as whom.
type remote struct {
	Controller   []string `help:"Controllers, tried in this order: host[:port], or the path of a socket. Default: this machine's socket, else localhost:9990." placeholder:"ADDRESS" env:"GATEHOUSE_CONTROLLER"`
	Fingerprint  string   `help:"Fingerprint of the domain's authority, sha256:..., which the controller prints. Without it, an unknown one is asked about on a terminal and kept in ~/.config/gatehouse/known-controllers." placeholder:"SHA256" env:"GATEHOUSE_FINGERPRINT"`
	CAFile       string   `name:"ca-file" help:"Certificate of the domain's authority (PEM), instead of its fingerprint." placeholder:"FILE" type:"path"`
	User         string   `help:"Management user; the local socket needs none." short:"u" placeholder:"NAME" env:"GATEHOUSE_USER"`
	PasswordFile string   `help:"File with the user's password; asked on a terminal otherwise." placeholder:"FILE" type:"path"`
}

// sockets are where a controller or a standalone server of this machine listens
// when its folder is the default one.
func sockets() []string {
	return []string{"data/controller/management.sock", "data/demo/controller/management.sock", "data/standalone/management.sock"}
}

// addresses gives the controllers to try: given on the line, by flag, or what
// is found.
func (r remote) addresses(given []string) []string {
	if len(given) > 0 {
		return given
	}
	if len(r.Controller) > 0 {
		return r.Controller
	}
	for _, path := range sockets() {
		if _, err := os.Stat(path); err == nil {
			return []string{path}
		}
	}
	return []string{"localhost:" + client.DefaultPort}
}

func (r remote) dial(ctx context.Context, env Env, given []string) (*client.Client, error) {
	addresses := r.addresses(given)
	fingerprint, err := r.fingerprint(ctx, env, addresses)
	if err != nil {
		return nil, err
	}
	return client.Dial(ctx, client.Config{
		Addresses: addresses, Fingerprint: fingerprint, CAFile: r.CAFile,
		User: r.User, Password: func() (string, error) { return r.password(env) }, Clock: env.Clock,
	})
}

// password reads the file, or asks on a terminal.
func (r remote) password(env Env) (string, error) {
	if r.PasswordFile != "" {
		return readPassword(r.PasswordFile)
	}
	in, ok := env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", problem.Unauthorized.Errorf("cannot log in as %q: no password; give --password-file", r.User)
	}
	fmt.Fprintf(env.Stderr, "Password of %s: ", r.User)
	password, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(env.Stderr)
	if err != nil {
		return "", problem.Unauthorized.Errorf("cannot read the password: %w", err)
	}
	return string(password), nil
}

// readPassword reads a file that holds one password; "-" would put it on a line
// that others see, so it is a file's name like any other.
func readPassword(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", problem.Invalid.Errorf("cannot read the password: %w", err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

type cliCommand struct {
	remote
	Connect        bool          `help:"Connect before the first command." short:"c"`
	Command        []string      `help:"Run one command and leave. May be repeated." sep:"none" placeholder:"COMMAND"`
	Commands       string        `help:"Run commands separated by commas and leave." placeholder:"A,B"`
	File           string        `help:"Run a script and leave." placeholder:"FILE" type:"path"`
	Output         string        `help:"How answers are printed: ${enum}." enum:"text,json" default:"text"`
	OutputJSON     bool          `name:"output-json" help:"Same as --output=json."`
	Headers        string        `help:"Headers of every operation: {name=value; name=value}." placeholder:"HEADERS"`
	ExpectRevision *uint64       `help:"Refuse to change anything unless the domain is at this revision." placeholder:"N"`
	NoColor        bool          `name:"no-color" help:"Print without colours, as NO_COLOR does."`
	Timeout        time.Duration `help:"Limit of each operation, as 30s; none by default." placeholder:"DURATION"`
}

// Help is the long help.
func (cliCommand) Help() string {
	return `Without --command, --commands or --file, commands are read from the terminal, with
completion and history, or from the input. The command help lists them.

Exit codes: 0 all succeeded; 2 invalid input; 4 not found; 5 conflict, or changed
meanwhile; 6 not logged in; 7 not allowed; 8 no controller reachable; 9 too large;
10 timeout; 11 the state does not allow it; 12 not supported; 70 a fault of Gatehouse.`
}

// Run runs the commands given.
func (c cliCommand) Run(ctx context.Context, env Env) error {
	settings := cli.Settings{
		Connect: func(ctx context.Context, addresses []string) (cli.Connection, error) {
			return c.connection(ctx, env, addresses)
		},
		Out: env.Stdout, Err: env.Stderr, Format: cli.Format(c.Output), ExpectRevision: c.ExpectRevision,
		Timeout: c.Timeout, Terminal: isTerminal(env.Stderr), Color: !c.NoColor && env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb" && isTerminal(env.Stdout), Version: version, Clock: env.Clock,
	}
	if c.OutputJSON {
		settings.Format = cli.JSON
	}
	if c.Headers != "" {
		headers, err := cli.ParseHeaders(c.Headers)
		if err != nil {
			return err
		}
		settings.Headers = headers
	}
	work := cli.Work{Connect: c.Connect, Commands: c.Command, File: c.File, Input: env.Stdin}
	if c.Commands != "" {
		work.Commands = append(work.Commands, cli.SplitCommands(c.Commands)...)
	}
	if len(work.Commands) == 0 && work.File == "" && isTerminal(env.Stdin) && isTerminal(env.Stdout) {
		work.Interactive, work.HistoryFile = true, historyFile(env)
		// Ctrl-C ends the command that runs, not the shell; SIGTERM ends both.
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
		defer stop()
		work.Interruptible = func(ctx context.Context) (context.Context, context.CancelFunc) {
			return signal.NotifyContext(ctx, os.Interrupt)
		}
	}
	settings.Lazy = !work.Interactive
	session := cli.NewSession(settings)
	err := cli.Run(ctx, session, work)
	closeErr := session.Close()
	if cli.Shown(err) {
		return exitCode(problem.KindOf(err).Exit())
	}
	return errors.Join(err, closeErr)
}

func (c cliCommand) connection(ctx context.Context, env Env, given []string) (cli.Connection, error) {
	target, err := c.dial(ctx, env, given)
	if err != nil {
		return cli.Connection{}, err
	}
	connection, err := cli.NewConnection(ctx, target, label(target.Address()))
	if err != nil {
		return connection, errors.Join(err, target.Close())
	}
	return connection, nil
}

// label is what the prompt calls an address.
func label(address string) string {
	if strings.Contains(address, "/") {
		return "local"
	}
	return address
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// historyFile keeps the lines of earlier sessions, mode 0600.
func historyFile(env Env) string {
	state := cmp.Or(env.Getenv("XDG_STATE_HOME"), filepath.Join(env.Getenv("HOME"), ".local", "state"))
	dir := filepath.Join(state, "gatehouse")
	if os.MkdirAll(dir, 0o700) != nil {
		return "" // no history is no reason to refuse the shell
	}
	return filepath.Join(dir, "cli-history")
}
