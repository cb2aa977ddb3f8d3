package access

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

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
// /core-service=management/access=audit, their expressions resolved by the
// model's system properties and then by environment, which may be nil. One that
// cannot be resolved is left out; the error names it.
func Destinations(tree profiles.Tree, environment profiles.Lookup) (list []Destination, err error) {
	r := resolver{tree: tree, lookup: tree.Lookup(nil)}
	if environment != nil {
		r.lookup = func(name string) (string, bool) {
			if v, ok := tree.Lookup(nil)(name); ok {
				return v, true
			}
			return environment(name)
		}
	}
	at := profiles.Address{{Type: "core-service", Name: "management"}, {Type: "access", Name: "audit"}}
	var errs []error
	for _, name := range tree.Names(at, "file-handler") {
		path, err := r.path(at.Child("file-handler", name), nil)
		if errs = append(errs, err); err == nil {
			list = append(list, Destination{File: path})
		}
	}
	for _, name := range tree.Names(at, "syslog-handler") {
		handler := at.Child("syslog-handler", name)
		protocol, err1 := r.value(handler, "protocol")
		host, err2 := r.value(handler, "host")
		port, err3 := r.value(handler, "port")
		err := errors.Join(err1, err2, err3)
		if errs = append(errs, err); err == nil {
			list = append(list, Destination{Syslog: fmt.Sprintf("%v://%v:%v", protocol, host, port)})
		}
	}
	return list, errors.Join(errs...)
}

// resolver resolves attributes of a tree where the audit log is written.
type resolver struct {
	tree   profiles.Tree
	lookup profiles.Lookup
}

// value is an attribute with its expressions resolved.
func (r resolver) value(at profiles.Address, name string) (any, error) {
	v := r.tree.Value(at, name)
	d, err := r.tree.Mode().Describe(at)
	if err != nil || v == nil {
		return v, err
	}
	attribute, ok := d.Attribute(name)
	if !ok {
		return v, nil
	}
	resolved, err := attribute.Resolved(v, r.lookup)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot use %s: %s: %w", at, name, err)
	}
	return resolved, nil
}

// path is the file of a resource with path and relative-to; through are the named
// paths on the way to it.
func (r resolver) path(at profiles.Address, through []string) (string, error) {
	v, err := r.value(at, "path")
	if err != nil {
		return "", err
	}
	path, _ := v.(string)
	v, err = r.value(at, "relative-to")
	base, relative := v.(string)
	if err != nil || !relative {
		return path, err
	}
	named := profiles.Address{{Type: "path", Name: base}}
	switch {
	case slices.Contains(through, base):
		return "", problem.Invalid.Errorf("cannot use %s: the path %q is relative to itself", at, base)
	case !r.tree.Has(named):
		return "", problem.Invalid.Errorf("cannot use %s: there is no path %q (paths: %v)", at, base, r.tree.Names(nil, "path"))
	}
	folder, err := r.path(named, append(through, base))
	return filepath.Join(folder, path), err
}

// DirectBy makes the destinations those of the model; what cannot be used is told
// to Failed.
func (a *Audit) DirectBy(tree profiles.Tree) {
	if a == nil {
		return
	}
	list, err := Destinations(tree, a.config.Environment)
	text := ""
	if err != nil {
		text = err.Error()
	}
	a.mu.Lock()
	news := text != a.told
	a.told = text
	a.mu.Unlock()
	if err != nil && news {
		a.failed(err)
	}
	a.Direct(list)
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
