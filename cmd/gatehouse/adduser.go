package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

type addUserCommand struct {
	Controller   string   `help:"Socket of the running controller. Default: the one found in data/." placeholder:"SOCKET" type:"path" env:"GATEHOUSE_CONTROLLER"`
	User         string   `help:"The new management user; asked when left out." short:"u" placeholder:"NAME"`
	PasswordFile string   `help:"File with the new user's password; asked on the terminal when left out." placeholder:"FILE" type:"path"`
	Role         []string `help:"Roles of the user: Monitor, Operator, Maintainer, Deployer, Administrator, Auditor, SuperUser." placeholder:"ROLE"`
	OnHost       []string `help:"Limit the roles to these hosts." placeholder:"HOST"`
	OnGroup      []string `help:"Limit the roles to these server groups." placeholder:"GROUP"`
	Host         string   `help:"Add a host instead: prints, once, the join token that its agent needs." placeholder:"NAME"`
	Out          string   `help:"Write the host's join token to a file, mode 0600, instead of printing it." placeholder:"FILE" type:"path"`
}

// Help is the long help.
func (addUserCommand) Help() string {
	return `Without flags it asks, as the installation guide shows. It talks to the controller
that runs on this machine through its socket, as its own user or root.`
}

// Run adds a host or a user.
func (c addUserCommand) Run(ctx context.Context, env Env) error {
	addresses := remote{}.addresses(nil)
	if c.Controller != "" {
		addresses = []string{"unix:" + c.Controller}
	}
	target, err := client.Dial(ctx, client.Config{Addresses: addresses, Clock: env.Clock})
	if err != nil {
		if !problem.Is(err, problem.Unauthorized) {
			err = problem.WithHint(problem.Unavailable.Errorf("cannot add anything: no controller runs on this machine: %w", err),
				"start one with gatehouse controller, or name its socket with --controller")
		}
		return err
	}
	if c.Host != "" {
		err = c.addHost(ctx, env, target, c.Host)
	} else {
		err = c.addUser(ctx, env, target)
	}
	return errors.Join(err, target.Close())
}

// addHost makes a host's join token and shows it this once.
func (c addUserCommand) addHost(ctx context.Context, env Env, target *client.Client, host string) error {
	response, err := target.Execute(ctx, profiles.Operation{Name: "add-host", Params: map[string]any{"name": host}})
	if err != nil {
		return err
	}
	result, _ := response.Result.(map[string]any)
	token, ok := result["token"].(string)
	if !ok {
		return problem.Internal.Errorf("cannot add host %q: the controller gave no token", host)
	}
	if c.Out != "" {
		if err := writeToken(c.Out, token); err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "Added host '%s'. Its join token is in %s: copy it to the host and start the agent there with\n  gatehouse agent --join-token %[2]s\n", host, c.Out)
		return nil
	}
	if !isTerminal(env.Stdout) {
		_, err := fmt.Fprintln(env.Stdout, token) // for scripts: the token alone
		return err
	}
	fmt.Fprintf(env.Stdout, "Added host '%s'. Its join token, which is shown only now:\n\n%s\n\nSave it in a file on the host and start the agent there with --join-token FILE.\n", host, token)
	return nil
}

// writeToken writes a new file that only its owner reads. One that is there is
// replaced: its token is good no more.
func writeToken(path, token string) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, token)
		err = errors.Join(err, f.Chmod(0o600), f.Close())
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return problem.Invalid.Errorf("cannot write the join token: %w", err)
	}
	return nil
}

func (c addUserCommand) addUser(ctx context.Context, env Env, target *client.Client) error {
	if c.User != "" && c.PasswordFile != "" {
		password, err := readPassword(c.PasswordFile)
		if err != nil {
			return err
		}
		if len(c.Role) == 0 {
			return problem.Invalid.Errorf("cannot add user %q without --role: the roles are %s", c.User, roleList())
		}
		if err := c.send(ctx, target, c.User, password, c.Role); err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "Added user '%s' with roles %s\n", c.User, strings.Join(c.Role, ", "))
		return nil
	}
	return (&dialogue{env: env, in: bufio.NewReader(env.Stdin), command: c, target: target}).run(ctx)
}

func (c addUserCommand) send(ctx context.Context, target *client.Client, name, password string, roles []string) error {
	params := map[string]any{"name": name, "password": password, "roles": list(roles)}
	if len(c.OnHost) > 0 {
		params["hosts"] = list(c.OnHost)
	}
	if len(c.OnGroup) > 0 {
		params["server-groups"] = list(c.OnGroup)
	}
	_, err := target.Execute(ctx, profiles.Operation{Name: "add-user", Params: params})
	return err
}

func list(texts []string) []any {
	out := make([]any, len(texts))
	for i, text := range texts {
		out[i] = text
	}
	return out
}

func roleList() string {
	var names []string
	for _, r := range access.Roles() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// dialogue asks as the guide shows ("Setup Slave Connection to Domain
// Controller").
type dialogue struct {
	env     Env
	in      *bufio.Reader
	command addUserCommand
	target  *client.Client
}

func (d *dialogue) run(ctx context.Context) error {
	name := d.command.User
	if name == "" {
		d.say("What do you wish to add?\n a) Management User\n b) Host (a machine whose agent joins the domain)\n")
		kind, err := d.ask("(a): ")
		if err != nil {
			return err
		}
		if strings.EqualFold(kind, "b") {
			host, err := d.ask("Host name : ")
			if err != nil {
				return err
			}
			return d.command.addHost(ctx, d.env, d.target, host)
		}
		d.say("Enter the details of the new user to add.\n")
		if name, err = d.ask("Username : "); err != nil {
			return err
		}
	}
	if err := access.CheckName(name); err != nil {
		return err
	}
	password, err := d.password(name)
	if err != nil {
		return err
	}
	roles, err := d.roles()
	if err != nil {
		return err
	}
	d.say("About to add user '%s' with roles %s\n", name, strings.Join(roles, ", "))
	if yes, err := d.yes("Is this correct yes/no? "); err != nil || !yes {
		return err
	}
	if err := d.command.send(ctx, d.target, name, password, roles); err != nil {
		return err
	}
	d.say("Added user '%s' to the domain, on every controller\n", name)
	d.say("Is this new user going to be used for a host to connect to the controller?\n")
	if yes, err := d.yes("yes/no? "); err != nil || !yes {
		return err
	}
	return d.command.addHost(ctx, d.env, d.target, name)
}

// password asks twice, until one keeps the rules.
func (d *dialogue) password(name string) (string, error) {
	if d.command.PasswordFile != "" {
		return readPassword(d.command.PasswordFile)
	}
	d.say("Password rules:\n")
	for _, rule := range access.PasswordRules() {
		d.say(" - %s\n", rule)
	}
	for {
		password, err := d.secret("Password : ")
		if err != nil {
			return "", err
		}
		if err := access.CheckPassword(name, password); err != nil {
			d.say("%v\n", err)
			continue
		}
		again, err := d.secret("Re-enter Password : ")
		if err != nil {
			return "", err
		}
		if again == password {
			return password, nil
		}
		d.say("The two passwords differ.\n")
	}
}

func (d *dialogue) roles() ([]string, error) {
	if len(d.command.Role) > 0 {
		return d.command.Role, nil
	}
	for {
		text, err := d.ask("What roles do you want this user to have? (Please enter a comma separated list of " + roleList() + ")[Administrator]: ")
		if err != nil {
			return nil, err
		}
		if text == "" {
			text = string(access.Administrator)
		}
		roles := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
		valid := true
		for _, name := range roles {
			if _, err := access.ParseRole(name); err != nil {
				d.say("%v\n", err)
				valid = false
			}
		}
		if valid && len(roles) > 0 {
			return roles, nil
		}
	}
}

func (d *dialogue) say(format string, args ...any) { fmt.Fprintf(d.env.Stdout, format, args...) }

func (d *dialogue) ask(prompt string) (string, error) {
	d.say("%s", prompt)
	line, err := d.in.ReadString('\n')
	if err != nil && line == "" {
		return "", problem.Invalid.Errorf("cannot go on: the input ended at %q; scripts use --user, --password-file and --role", strings.TrimSpace(prompt))
	}
	return strings.TrimSpace(line), nil
}

// secret asks without showing what is typed, where the terminal can.
func (d *dialogue) secret(prompt string) (string, error) {
	in, ok := d.env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return d.ask(prompt)
	}
	d.say("%s", prompt)
	text, err := term.ReadPassword(int(in.Fd()))
	d.say("\n")
	if err != nil {
		return "", problem.Invalid.Errorf("cannot read the password: %w", err)
	}
	return string(text), nil
}

func (d *dialogue) yes(prompt string) (bool, error) {
	text, err := d.ask(prompt)
	return strings.HasPrefix(strings.ToLower(text), "y"), err
}
