package demo

import "fmt"

// Welcome is what a person reads when the demo is up: where to go, who to be,
// what to try.
func (d *Demo) Welcome() string {
	p := d.cfg.Ports
	public := fmt.Sprintf("http://localhost:%d", p.Balancer)
	return fmt.Sprintf(`
The domain is up. Ctrl-C stops it; the next demo goes on with the same data.

  domain console   https://localhost:%[7]d/console   %[10]s / %[11]s
                   (its certificate is of the domain's own authority: the browser asks you to accept it once)
  account page     %[1]s%[2]s/account       %[3]s / %[4]s
  sample app       go run ./examples/app   then http://localhost:8180
  discovery        %[1]s%[2]s/.well-known/openid-configuration
  load balancer    %[1]s
  server-one       http://localhost:%[5]d
  server-two       http://localhost:%[6]d
  hosts            http://localhost:%[12]d/health and http://localhost:%[13]d/health (and /metrics)
  management       https://localhost:%[7]d/management (the command line needs no password on this machine)

Change something in one place, and see it on the login page of both servers:

  go run ./cmd/gatehouse cli --controller=%[8]s \
    --command='/profile=auth-server-clustered/subsystem=identity:write-attribute(name=display-name,value="Hello")'

Another person for the console:  go run ./cmd/gatehouse add-user --controller=%[8]s

Kill a server, and reload the page:   pkill -9 -f 'server server-one'
Files, data and logs are in %[9]s
`, public, realmPath, user, password, p.Balancer+p.OneShift, p.Balancer+p.TwoShift, p.HTTP, d.socket(), d.cfg.Dir, administrator, d.consolePassword(), p.Hosts, p.Hosts+1)
}
