package access

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Destination is one more place that audit events go to, beside those of the
// AuditConfig. Exactly one of its fields is set.
type Destination struct {
	File   string // appended to, mode 0600; relative to the folder of AuditConfig.File
	Syslog string // as in AuditConfig
}

// Destinations are the file and syslog handlers that the model has below
// /core-service=management/access=audit.
func Destinations(tree profiles.Tree) []Destination {
	at := profiles.Address{{Type: "core-service", Name: "management"}, {Type: "access", Name: "audit"}}
	var list []Destination
	for _, name := range tree.Names(at, "file-handler") {
		handler := at.Child("file-handler", name)
		path, _ := tree.Value(handler, "path").(string)
		if base, ok := tree.Value(handler, "relative-to").(string); ok {
			folder, _ := tree.Value(profiles.Address{{Type: "path", Name: base}}, "path").(string)
			path = filepath.Join(folder, path)
		}
		list = append(list, Destination{File: path})
	}
	for _, name := range tree.Names(at, "syslog-handler") {
		handler := at.Child("syslog-handler", name)
		list = append(list, Destination{Syslog: fmt.Sprintf("%v://%v:%v",
			tree.Value(handler, "protocol"), tree.Value(handler, "host"), tree.Value(handler, "port"))})
	}
	return list
}

// Direct makes the destinations those that are given: new ones are opened, those
// that are not among them any more are closed. One that cannot be opened is
// told to Failed and tried again with the next call.
func (a *Audit) Direct(destinations []Destination) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(destinations) == 0 && len(a.sinks) == 0 {
		return
	}
	next := map[Destination]io.WriteCloser{}
	for _, d := range destinations {
		s, open := a.sinks[d]
		if !open {
			w, err := a.openDestination(d)
			if err != nil {
				a.failed(err)
				continue
			}
			s = w
		}
		next[d] = s
	}
	for d, s := range a.sinks {
		if _, kept := next[d]; !kept {
			if err := s.Close(); err != nil {
				a.failed(problem.Internal.Errorf("cannot close the audit log %+v: %w", d, err))
			}
		}
	}
	a.sinks = next
}

func (a *Audit) openDestination(d Destination) (io.WriteCloser, error) {
	if d.File == "" {
		return openSyslog(d.Syslog, a.config.Clock)
	}
	path := d.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(a.config.File), path)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot open the audit log: %w", err)
	}
	return f, nil
}

// writeSinks writes a line to every destination of the model.
func (a *Audit) writeSinks(line []byte) error {
	var errs []error
	for _, s := range a.sinks {
		_, err := s.Write(line)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (a *Audit) closeSinks() error {
	var errs []error
	for _, s := range a.sinks {
		errs = append(errs, s.Close())
	}
	a.sinks = nil
	return errors.Join(errs...)
}
