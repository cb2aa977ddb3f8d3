package main

import (
	"fmt"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller"
)

type controllerRecover struct {
	Inspect bool `help:"Only say how far this controller's log reaches; change nothing."`
}

// Help is the whole procedure: who needs it has no time to look for it.
func (controllerRecover) Help() string {
	return `When a majority of the controllers is lost for good, nothing can be committed any more. Hosts and servers
keep running meanwhile. The way back:

 1. Be sure that the lost controllers never start again: while they are a majority among themselves
    they would act as a second domain.
 2. Stop the controllers that survived.
 3. With more than one survivor, run "gatehouse controller recover --inspect --dir DIR" on each. The one to
    recover has the highest term, and among those of the same term the highest index.
 4. Run "gatehouse controller recover --dir DIR" there, once, and start it as usual. It leads alone with
    all its log holds, removes the other controllers from the domain and revokes their certificates.
    What only the lost controllers knew is lost.
 5. Add new controllers: ":add-controller(name=c2)", then "gatehouse controller --join HOST:PORT
    --controller-token FILE --dir NEW", also for survivors that were not recovered: in a new folder and
    under a new name, or under the old name with the token.

Hosts come back by themselves when the recovered controller, or one that joined it, is at an address
they know; otherwise start it with --native and --advertise of a lost one.

Of the flags, recover uses --dir and --inspect only.`
}

// Run recovers a stopped controller, or inspects it.
func (c controllerRecover) Run(env Env, of *controllerCommand) error {
	if c.Inspect {
		s, err := controller.Inspect(of.Dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "controller %s: log reaches term %d, index %d\n", s.Name, s.Log.Term, s.Log.Index)
		return nil
	}
	s, err := controller.Recover(of.Dir, zerolog.Nop())
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "controller %s is the only one of its domain now: revision %d (log: term %d, index %d)\n", s.Name, s.Revision, s.Log.Term, s.Log.Index)
	fmt.Fprintln(env.Stdout, "start it as before, then add controllers in new folders with :add-controller; the lost ones must never start again")
	return nil
}
