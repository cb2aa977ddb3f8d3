package boot

import (
	"cmp"
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-idp/gatehouse/proto/configrelay"
)

// reports are what a server has to tell its agent. What describes a state is
// kept as the last value, and told again on every new link; answers to commands
// wait in a queue.
type reports struct {
	mu      sync.Mutex
	wake    chan struct{}
	status  *configrelay.Status
	apply   *configrelay.Applied
	request []byte // certificate request
	usage   *configrelay.Usage
	trusted *configrelay.Trusted
	dirty   struct{ status, apply, request, usage, trusted bool }
	results []*configrelay.CommandResult
	last    bool // nothing follows: the link ends when all is told
}

// sender is the sending half of a link.
type sender interface {
	Send(*configrelay.Report) error
	CloseSend() error
}

func newReports() *reports { return &reports{wake: make(chan struct{}, 1)} }

func (r *reports) change(f func()) {
	r.mu.Lock()
	f()
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// setStatus reports the server's state.
func (r *reports) setStatus(s *configrelay.Status) {
	r.change(func() { r.status, r.dirty.status = s, true })
}

// setUsage reports the requests answered, if that says anything new.
func (r *reports) setUsage(usage *configrelay.Usage) {
	r.mu.Lock()
	same := proto.Equal(cmp.Or(r.usage, &configrelay.Usage{}), usage)
	r.mu.Unlock()
	if !same {
		r.change(func() { r.usage, r.dirty.usage = usage, true })
	}
}

// setTrusted reports whom the server trusts and who issued its certificate.
func (r *reports) setTrusted(t *configrelay.Trusted) {
	r.change(func() { r.trusted, r.dirty.trusted = t, true })
}

// toldTrust reports whether that was said.
func (r *reports) toldTrust() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trusted != nil
}

// applied answers a configuration: "" is live, else "reload-required" or
// "restart-required"; trouble says why it cannot be used.
func (r *reports) applied(revision uint64, required, trouble string) {
	r.change(func() {
		r.apply, r.dirty.apply = &configrelay.Applied{Revision: revision, Required: required, Problem: trouble}, true
	})
}

// requestCertificate asks for a certificate (PKCS 10, DER).
func (r *reports) requestCertificate(der []byte) {
	r.change(func() { r.request, r.dirty.request = der, true })
}

// done answers a command; trouble is "" when it was done.
func (r *reports) done(id, trouble string) {
	r.change(func() { r.results = append(r.results, &configrelay.CommandResult{Id: id, Problem: trouble}) })
}

// repeat marks the last states as untold: a new link knows nothing.
func (r *reports) repeat() {
	r.change(func() {
		r.dirty.status, r.dirty.apply, r.dirty.request = r.status != nil, r.apply != nil, r.request != nil
		r.dirty.usage, r.dirty.trusted = r.usage != nil, r.trusted != nil
	})
}

// take gives what is to be told now.
func (r *reports) take() (out []*configrelay.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dirty.apply {
		out = append(out, &configrelay.Report{Report: &configrelay.Report_Applied{Applied: r.apply}})
	}
	if r.dirty.status {
		out = append(out, &configrelay.Report{Report: &configrelay.Report_Status{Status: r.status}})
	}
	if r.dirty.request {
		out = append(out, &configrelay.Report{Report: &configrelay.Report_CertificateRequest{CertificateRequest: r.request}})
	}
	if r.dirty.usage {
		out = append(out, &configrelay.Report{Report: &configrelay.Report_Usage{Usage: r.usage}})
	}
	if r.dirty.trusted {
		out = append(out, &configrelay.Report{Report: &configrelay.Report_Trusted{Trusted: r.trusted}})
	}
	for _, result := range r.results {
		out = append(out, &configrelay.Report{Report: &configrelay.Report_CommandResult{CommandResult: result}})
	}
	r.dirty.status, r.dirty.apply, r.dirty.request, r.dirty.usage, r.dirty.trusted = false, false, false, false, false
	r.results = nil
	return out
}

// sendTo tells everything to one link until ctx ends or the link breaks. After
// the last word it ends the link from our side: the agent ends it from its own
// when it has heard all.
func (r *reports) sendTo(ctx context.Context, link sender) error {
	for {
		for _, report := range r.take() {
			if err := link.Send(report); err != nil {
				return err
			}
		}
		if r.toldAll() {
			return link.CloseSend()
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end says that nothing follows what was reported.
func (r *reports) end() { r.change(func() { r.last = true }) }

// toldAll reports whether the last word was handed to a link.
func (r *reports) toldAll() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last && !r.dirty.status && !r.dirty.apply && !r.dirty.request && len(r.results) == 0
}

// forgetRequest is called when the certificate came: it is not asked for again
// on the next link.
func (r *reports) forgetRequest() { r.change(func() { r.request, r.dirty.request = nil, false }) }
