package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"github.com/gatehouse-idp/gatehouse/cli/trust"
	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// knownControllers is the file of those that were accepted.
func knownControllers(env Env) trust.Known {
	dir := cmp.Or(env.Getenv("XDG_CONFIG_HOME"), filepath.Join(env.Getenv("HOME"), ".config"))
	return trust.Known{Path: filepath.Join(dir, "gatehouse", "known-controllers")}
}

// fingerprint is the authority to trust at the addresses: the one that was given,
// or the one that the first of them to answer shows, if it is known or accepted.
// It is "" where none is needed.
func (r remote) fingerprint(ctx context.Context, env Env, addresses []string) (string, error) {
	if r.Fingerprint != "" || r.CAFile != "" {
		return r.Fingerprint, nil
	}
	var unreachable error
	for _, address := range addresses {
		at := client.HostPort(address)
		if at == "" {
			continue // a socket
		}
		known := knownControllers(env)
		kept, err := known.Fingerprint(at)
		if err != nil {
			return "", err
		}
		shown, err := client.Authority(ctx, at, kept)
		if problem.Is(err, problem.Unavailable) {
			unreachable = err
			continue
		}
		if err == nil {
			err = known.Decide(at, shown, r.asker(env))
		}
		return shown, err
	}
	return "", unreachable
}

// asker asks on a terminal; it is nil where nobody sits.
func (r remote) asker(env Env) func(address, fingerprint string) (trust.Answer, error) {
	if !isTerminal(env.Stdin) || !isTerminal(env.Stderr) {
		return nil
	}
	return func(address, fingerprint string) (trust.Answer, error) {
		fmt.Fprintf(env.Stderr, "The controller %s is not known. Its authority is\n  %s\nas the controller prints it when it starts. Accept it [o]nce, [a]lways, or [n]ot? ", address, fingerprint)
		lines := bufio.NewScanner(env.Stdin)
		for lines.Scan() {
			if answer, ok := trust.Read(lines.Text()); ok {
				return answer, nil
			}
			fmt.Fprint(env.Stderr, "Please answer once, always or no: ")
		}
		return trust.No, lines.Err()
	}
}
