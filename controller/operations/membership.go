package operations

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/consensus"
	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// invitation is what one needs to join. It is in an answer once, and nowhere
// else.
type invitation struct {
	Name        string `json:"name"`
	Token       string `json:"token"`
	Secret      string `json:"secret"`
	Fingerprint string `json:"fingerprint"`
}

// addHost gives a host a new join token; the one before is good no more:
// :add-host(name=host2).
func (d *Desk) addHost(ctx context.Context, r request) (api.Response, error) {
	return d.invite(ctx, r, authority.RoleHost)
}

// addController gives a new controller its join token: :add-controller(name=c2).
// It becomes a member when it joins with it.
func (d *Desk) addController(ctx context.Context, r request) (api.Response, error) {
	return d.invite(ctx, r, authority.RoleController)
}

func (d *Desk) invite(ctx context.Context, r request, role string) (api.Response, error) {
	name, err := r.required("name", "host2")
	if err != nil {
		return api.Response{}, err
	}
	token, err := d.authority.Invite(ctx, role, name)
	if err != nil {
		return api.Response{}, err
	}
	d.log.Info().Str("by", r.caller.Name).Str(role, name).Msg("join token made")
	return api.Response{Result: invitation{Name: name, Token: token.String(), Secret: token.Secret, Fingerprint: token.Fingerprint}}, nil
}

// removeHost takes a host out of the domain: it can neither connect nor join,
// and its part of the model goes. Its servers keep running until they are
// stopped: stop them first. :remove-host(name=host2).
func (d *Desk) removeHost(ctx context.Context, r request) (api.Response, error) {
	name, err := r.required("name", "host2")
	if err != nil {
		return api.Response{}, err
	}
	at := profiles.Address{{Type: "host", Name: name}}
	if !d.Tree().Has(at) && !d.authority.Invited(authority.RoleHost, name) {
		return api.Response{}, problem.NotFound.Errorf("cannot remove host %s: there is none of that name", name)
	}
	if err := d.authority.Uninvite(ctx, authority.RoleHost, name); err != nil {
		return api.Response{}, err
	}
	if err := d.authority.Revoke(ctx, authority.Host(name)); err != nil {
		return api.Response{}, err
	}
	d.publisher.Expel(name, problem.Forbidden.Errorf("host %s was removed from the domain", name))
	return d.change(ctx, r, func(s domain.State) (profiles.Tree, any, error) {
		if !s.Tree().Has(at) {
			return s.Tree(), nil, nil
		}
		next, _, _, err := profiles.Apply(s.Tree(), profiles.Operation{Name: "remove", Address: at})
		return next, nil, err
	})
}

// revoke refuses the certificates that a host or controller has now; its join
// token, if it kept it, still lets it come back unless it is removed:
// :revoke(host=host2), :revoke(controller=c2).
func (d *Desk) revoke(ctx context.Context, r request) (api.Response, error) {
	switch host, controller := r.text("host"), r.text("controller"); {
	case host != "":
		if err := d.authority.Revoke(ctx, authority.Host(host)); err != nil {
			return api.Response{}, err
		}
		d.publisher.Expel(host, problem.Forbidden.Errorf("the certificate of host %s was revoked", host))
		return api.Response{}, nil
	case controller != "":
		return api.Response{}, d.authority.Revoke(ctx, authority.Controller(controller))
	}
	return api.Response{}, problem.Invalid.Errorf("cannot revoke: name a host or a controller (for example :revoke(host=host2))")
}

// controllerLine is one controller in the list.
type controllerLine struct {
	Name        string `json:"name"`
	Leader      bool   `json:"leader"`
	Voter       bool   `json:"voter"`
	Replication string `json:"replication-address"`
	Native      string `json:"native-address"`
}

// controllers lists the controllers.
func (d *Desk) controllers(context.Context, request) (api.Response, error) {
	members, err := d.replica.Members()
	if err != nil {
		return api.Response{}, err
	}
	leader := d.replica.Leader().Name
	list := []controllerLine{}
	for _, m := range members {
		var at peers.Place
		if rec, ok := d.replica.Record(peers.KindController, m.Name); ok {
			if err := json.Unmarshal(rec.Value, &at); err != nil {
				return api.Response{}, problem.Internal.Errorf("cannot read where controller %s is: %w", m.Name, err)
			}
		}
		list = append(list, controllerLine{m.Name, m.Name == leader, m.Voter, m.Address, at.Native})
	}
	return api.Response{Result: list}, nil
}

// removeController takes a controller out of the replication and revokes its
// certificate: :remove-controller(name=c2). The certificate goes first: a
// controller that learns that it is no member asks to be one at once. What was cut
// short is done to its end when it is asked for again.
func (d *Desk) removeController(ctx context.Context, r request) (api.Response, error) {
	name, err := r.required("name", "c2")
	if err != nil {
		return api.Response{}, err
	}
	if name == d.replica.Leader().Name {
		return api.Response{}, problem.WithHint(problem.Precondition.Errorf("cannot remove controller %s: it leads", name), "use :transfer-leadership first")
	}
	d.joining.Lock()
	defer d.joining.Unlock()
	members, err := d.replica.Members()
	if err != nil {
		return api.Response{}, err
	}
	member := slices.ContainsFunc(members, func(m consensus.Member) bool { return m.Name == name })
	_, recorded := d.replica.Record(peers.KindController, name)
	if !member && !recorded {
		return api.Response{}, d.replica.Remove(name) // says which there are
	}
	if err := d.authority.Uninvite(ctx, authority.RoleController, name); err != nil {
		return api.Response{}, err
	}
	if err := d.authority.Revoke(ctx, authority.Controller(name)); err != nil {
		return api.Response{}, err
	}
	if member {
		if err := d.replica.Remove(name); err != nil {
			return api.Response{}, err
		}
	}
	if err := d.authority.Undeclare(ctx, name); err != nil || !recorded {
		return api.Response{}, err
	}
	return api.Response{}, d.replica.Delete(ctx, peers.KindController, name, domain.Any)
}

// transfer hands the lead to another controller: :transfer-leadership(to=c2).
func (d *Desk) transfer(_ context.Context, r request) (api.Response, error) {
	return api.Response{}, d.replica.Transfer(r.text("to"))
}

// Join implements peers.Domain: a controller that is listening becomes a member.
func (d *Desk) Join(ctx context.Context, n peers.Newcomer) error {
	if !d.replica.Leads() {
		return d.leader.Join(ctx, n)
	}
	d.joining.Lock()
	defer d.joining.Unlock()
	// Its connection may be older than the revocation.
	if err := d.replica.Fresh(ctx); err != nil {
		return err
	}
	if err := d.authority.AllowIssued(authority.Controller(n.Name), n.Issued); err != nil {
		return err
	}
	value, err := json.Marshal(n.At)
	if err != nil {
		return err
	}
	// Not handed to another that leads by now: it may have removed this one meanwhile.
	if err := d.replica.PutAsLeader(peers.KindController, n.Name, value, domain.Any); err != nil {
		return err
	}
	if err := d.replica.Add(n.Name, n.At.Replication); err != nil {
		return err
	}
	// The token was for joining once; coming back needs the certificate only.
	return d.authority.Uninvite(ctx, authority.RoleController, n.Name)
}

// Leads implements peers.Domain.
func (d *Desk) Leads() bool { return d.replica.Leads() }

// Index implements peers.Domain.
func (d *Desk) Index() (uint64, error) { return d.replica.Index() }

// Write implements peers.Domain.
func (d *Desk) Write(entry []byte) (uint64, error) {
	revision, err := d.replica.Write(entry)
	if errors.Is(err, consensus.ErrNotLeading) {
		err = peers.NotBegun(err)
	}
	return revision, err
}

// hostLine is one host in the overview.
type hostLine struct {
	Name      string `json:"name"`
	Connected bool   `json:"connected"`
	Since     string `json:"since,omitempty"`
	Version   string `json:"version,omitempty"`
	Address   string `json:"address,omitempty"`
	Revision  uint64 `json:"revision"`
	Problem   string `json:"problem,omitempty"`
	Servers   int    `json:"servers"`
	SkewMS    int64  `json:"clock-skew-ms"`
}

// hosts is the overview of all hosts: :hosts.
func (d *Desk) hosts(context.Context, request) (api.Response, error) {
	states, _ := d.publisher.Hosts()
	names := d.Tree().Names(nil, "host")
	names = append(names, slices.Collect(maps.Keys(states))...)
	slices.Sort(names)
	list := []hostLine{}
	for _, name := range slices.Compact(names) {
		s := states[name]
		line := hostLine{Name: name, Connected: s.Connected, Version: s.Version, Address: s.Address, Revision: s.Revision,
			Problem: s.Problem, Servers: len(s.Servers), SkewMS: s.Skew.Milliseconds()}
		if !s.Since.IsZero() {
			line.Since = s.Since.UTC().Format("2006-01-02T15:04:05Z")
		}
		list = append(list, line)
	}
	return api.Response{Result: list}, nil
}
