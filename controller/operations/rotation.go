package operations

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
)

// rotationTimeout is how long :rotate-authority waits by itself: renewing takes a
// second or two, and a host that restarts some more.
const rotationTimeout = 60 * time.Second

// rotationEvery is how often it is looked who stands in the way of an automatic
// rotation, beside whenever a host or the domain changes.
const rotationEvery = 500 * time.Millisecond

// rotateAuthority replaces the domain's certificate authority, in phases:
// :rotate-authority, or :rotate-authority(phase=introduce|issue|finish|cancel).
func (d *Desk) rotateAuthority(ctx context.Context, r request) (api.Response, error) {
	by := r.caller.Name
	rotation, err := d.authority.Rotation()
	if err != nil {
		return api.Response{}, err
	}
	var left []string
	switch phase := r.text("phase"); phase {
	case "":
		return d.rotateAll(ctx, r, rotation)
	case "introduce":
		rotation, err = d.authority.Introduce(ctx, by, false)
	case "issue":
		if rotation.Phase == authority.Introduced {
			left, err = d.stepPast(ctx, d.notTrusting, rotation, r, "issue with the new authority",
				"force=true goes on without them: they catch up if they connect before phase=finish, and must join again with a new token after it")
		}
		if err == nil {
			rotation, err = d.authority.Issue(ctx, by)
		}
	case "finish":
		if rotation.Other != nil && rotation.Phase != authority.Introduced {
			left, err = d.stepPast(ctx, d.stillShowing, rotation, r, "end the trust in authority "+certs.Fingerprint(rotation.Other),
				"force=true goes on without them: they are cut off, and must join again with a new token (a controller: be removed and added anew)")
		}
		if err == nil {
			rotation, err = d.authority.Finish(ctx, by)
		}
	case "cancel":
		if rotation, err = d.authority.Cancel(ctx, by); err == nil && rotation.Phase == authority.Cancelling {
			d.noteRotation(rotation, nil)
			return d.followRotation(ctx, r, rotation, rotation.Issuing)
		}
	default:
		err = problem.Invalid.Errorf("cannot rotate the authority: there is no phase %q (phases: introduce, issue, finish, cancel; none for all of it)", phase)
	}
	if err != nil {
		return api.Response{}, err
	}
	d.noteRotation(rotation, left)
	return api.Response{Result: d.rotationView(rotation, true)}, nil
}

// rotateAll begins a rotation, or goes on with the one that is under way, and waits
// for its end. The leader takes its steps, whoever leads then and whether somebody
// waits or not.
func (d *Desk) rotateAll(ctx context.Context, r request, rotation authority.Rotation) (api.Response, error) {
	var err error
	switch rotation.Phase {
	case authority.Settled:
		if rotation, err = d.authority.Introduce(ctx, r.caller.Name, true); err == nil {
			d.noteRotation(rotation, nil)
		}
	case authority.Cancelling:
		err = problem.Precondition.Errorf("cannot rotate the authority: the last rotation is being taken back; it waits for: %s", someOf(d.stillShowing(rotation)))
	default:
		err = d.automate(ctx, rotation)
	}
	if err != nil {
		return api.Response{}, err
	}
	wanted := rotation.Other
	if rotation.Phase == authority.Issuing {
		wanted = rotation.Issuing
	}
	return d.followRotation(ctx, r, rotation, wanted)
}

// automate has the leader go on with a rotation. It may be taking the next step, or
// the last, at this very moment.
func (d *Desk) automate(ctx context.Context, rotation authority.Rotation) error {
	for attempt := 1; !rotation.Automatic && rotation.Phase != authority.Settled; attempt++ {
		_, err := d.authority.Automate(ctx, true)
		if err == nil || !problem.Is(err, problem.Conflict) || attempt == attempts {
			return err
		}
		if rotation, err = d.authority.Rotation(); err != nil {
			return err
		}
	}
	return nil
}

// rotationEvent is what is streamed while a rotation goes on.
type rotationEvent struct {
	Phase    authority.Phase `json:"phase"`
	Message  string          `json:"message"`
	WaitsFor []string        `json:"waits-for,omitempty"`
}

// followRotation waits until the rotation is over, with wanted as the authority.
func (d *Desk) followRotation(ctx context.Context, r request, rotation authority.Rotation, wanted *x509.Certificate) (api.Response, error) {
	limit := d.clock.NewTimer(r.timeout(rotationTimeout))
	defer limit.Stop()
	told := ""
	for {
		_, newer := d.replica.State()
		_, changed := d.publisher.Host("")
		var err error
		if rotation, err = d.authority.Rotation(); err != nil {
			return api.Response{}, err
		}
		event := rotationEvent{Phase: rotation.Phase, Message: phaseText(rotation), WaitsFor: d.inTheWay(rotation)}
		if len(event.WaitsFor) > 0 {
			event.Message += "; waits for: " + someOf(event.WaitsFor)
		}
		if text := fmt.Sprint(event); r.emit != nil && text != told {
			told = text
			if err := r.emit(event); err != nil {
				return api.Response{}, err
			}
		}
		if rotation.Phase == authority.Settled {
			if !rotation.Issuing.Equal(wanted) {
				return api.Response{}, problem.Conflict.Errorf("the rotation of the authority was ended by somebody else (%s): the authority is %s", rotation.By, certs.Fingerprint(rotation.Issuing))
			}
			return api.Response{Result: d.rotationView(rotation, true)}, nil
		}
		again := d.clock.NewTimer(rotationEvery)
		select {
		case <-newer:
		case <-changed:
		case <-again.C:
		case <-limit.C:
			again.Stop()
			return api.Response{}, d.unfinished(rotation)
		case <-ctx.Done():
			again.Stop()
			return api.Response{}, d.unfinished(rotation)
		}
		again.Stop()
	}
}

// unfinished says what a rotation waits for.
func (d *Desk) unfinished(rotation authority.Rotation) error {
	return problem.WithHint(
		problem.Timeout.Errorf("the rotation of the authority is not over: it is in phase %q and waits for: %s", rotation.Phase, someOf(d.inTheWay(rotation))),
		"it goes on by itself as soon as that is done; phase=cancel goes back, phase=finish with force=true goes on without those that are away; /core-service=management/authority=domain:read-resource(include-runtime=true) tells how far it is")
}

func phaseText(r authority.Rotation) string {
	issuing := certs.Fingerprint(r.Issuing)
	switch r.Phase {
	case authority.Introduced:
		return "new authority " + certs.Fingerprint(r.Other) + " is made; all must trust it before it issues"
	case authority.Issuing:
		return "new authority " + issuing + " issues; all must show its certificates before the old one is trusted no more"
	case authority.Cancelling:
		return "old authority " + issuing + " issues again; all must show its certificates before the new one is trusted no more"
	}
	return "the authority is " + issuing
}

// stepPast refuses a step while somebody stands in its way, unless it is forced.
// Hosts of other controllers, which one that has just begun to lead has not heard of
// yet, are waited for.
func (d *Desk) stepPast(ctx context.Context, inTheWay func(authority.Rotation) []string, rotation authority.Rotation, r request, what, force string) (left []string, err error) {
	if !r.flag("force") {
		d.publisher.HearFromAll(ctx)
	}
	others := inTheWay(rotation)
	if len(others) == 0 || r.flag("force") {
		return others, nil
	}
	return nil, problem.WithHint(problem.Precondition.Errorf("cannot %s: %s", what, strings.Join(others, "; ")), "%s", force)
}

// Rotations takes the steps of an automatic rotation as soon as nobody stands in
// their way, until ctx ends. Only the leader calls it.
func (d *Desk) Rotations(ctx context.Context) {
	for ctx.Err() == nil {
		_, newer := d.replica.State()
		rotation, err := d.authority.Rotation()
		automatic := err == nil && rotation.Automatic
		if automatic && len(d.inTheWay(rotation)) == 0 {
			if err := d.advance(ctx, rotation); err != nil {
				d.log.Warn().Err(err).Msg("cannot take the next step of the authority's rotation; trying again")
			}
		}
		again := d.clock.NewTimer(rotationEvery)
		if !automatic {
			again.Stop()
		}
		select {
		case <-newer:
		case <-again.C:
		case <-ctx.Done():
		}
		again.Stop()
	}
}

// advance takes the next step of a rotation.
func (d *Desk) advance(ctx context.Context, rotation authority.Rotation) (err error) {
	switch rotation.Phase {
	case authority.Introduced:
		rotation, err = d.authority.Issue(ctx, rotation.By)
	case authority.Issuing, authority.Cancelling:
		rotation, err = d.authority.Finish(ctx, rotation.By)
	default:
		return nil
	}
	if err == nil {
		d.noteRotation(rotation, nil)
	}
	return err
}

func (d *Desk) noteRotation(rotation authority.Rotation, left []string) {
	e := d.log.Info().Str("phase", string(rotation.Phase)).Str("by", rotation.By).Str("issuing", certs.Fingerprint(rotation.Issuing))
	if rotation.Other != nil {
		e = e.Str("also-trusted", certs.Fingerprint(rotation.Other))
	}
	if len(left) > 0 {
		e = e.Strs("without", left)
	}
	e.Msg("rotation of the domain's authority")
}

// readAuthority reads /core-service=management/authority=domain.
func (d *Desk) readAuthority(_ context.Context, r request) (api.Response, error) {
	if name := r.op.Address.Last().Name; name != "domain" && name != "*" {
		return api.Response{}, problem.NotFound.Errorf("cannot find %s: there is no authority %q (there is: domain)", r.op.Address, name)
	}
	rotation, err := d.authority.Rotation()
	if err != nil {
		return api.Response{}, err
	}
	resource := d.rotationView(rotation, r.op.Params["include-runtime"] == true || r.op.Name == "read-attribute")
	if r.op.Name == "read-resource" {
		return api.Response{Result: resource}, nil
	}
	name := r.text("name")
	v, ok := resource[name]
	if !ok {
		var names []string
		for n := range resource {
			names = append(names, n)
		}
		slices.Sort(names)
		return api.Response{}, problem.NotFound.Errorf("cannot read attribute %q of the authority (attributes: %s)", name, strings.Join(names, ", "))
	}
	return api.Response{Result: v}, nil
}

// rotationView is the authority as a resource. Nothing in it is secret.
func (d *Desk) rotationView(r authority.Rotation, runtime bool) map[string]any {
	view := map[string]any{
		"phase": string(r.Phase), "automatic": r.Automatic,
		"fingerprint": certs.Fingerprint(r.Issuing), "valid-until": r.Issuing.NotAfter.UTC().Format(time.RFC3339),
		"certificate": string(certs.EncodeCertificates(r.Trusted())),
	}
	if !r.Since.IsZero() {
		view["since"], view["by"] = r.Since.UTC().Format(time.RFC3339), r.By
	}
	if r.Other != nil {
		view["also-trusted"] = certs.Fingerprint(r.Other)
	}
	if runtime {
		view["waits-for"] = append([]string{}, d.inTheWay(r)...)
	}
	return view
}
