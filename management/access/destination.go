package access

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// auditAddress is where the model says what is recorded and where.
var auditAddress = profiles.Address{{Type: "core-service", Name: "management"}, {Type: "access", Name: "audit"}}

// Destinations are the handlers that the model has below
// /core-service=management/access=audit, their expressions resolved by the
// model's system properties and then by environment, which may be nil. Files are
// absolute, or relative to the folder of AuditConfig.File. One that cannot be
// used is left out; the error names it.
func Destinations(tree profiles.Tree, environment profiles.Lookup) (list []logs.Output, err error) {
	r := resolver{tree: tree, lookup: tree.Lookup(nil)}
	if environment != nil {
		r.lookup = func(name string) (string, bool) {
			if v, ok := tree.Lookup(nil)(name); ok {
				return v, true
			}
			return environment(name)
		}
	}
	var errs []error
	writers := map[string]profiles.Address{} // by file
	for _, typ := range []string{"file-handler", "periodic-rotating-file-handler", "size-rotating-file-handler"} {
		for _, name := range tree.Names(auditAddress, typ) {
			at := auditAddress.Child(typ, name)
			file, err := r.file(at)
			if other, taken := writers[file.Path]; taken && err == nil {
				err = problem.Conflict.Errorf("cannot use %s: %s writes to %s already", at, other, file.Path)
			}
			if errs = append(errs, err); err == nil {
				writers[file.Path] = at
				list = append(list, file)
			}
		}
	}
	for _, name := range tree.Names(auditAddress, "syslog-handler") {
		receiver, err := r.receiver(auditAddress.Child("syslog-handler", name))
		if errs = append(errs, err); err == nil {
			list = append(list, receiver)
		}
	}
	return list, errors.Join(errs...)
}

// file is where a handler of files writes.
func (r resolver) file(at profiles.Address) (f logs.File, err error) {
	path, err := r.path(at, nil)
	if err != nil {
		return f, err
	}
	f = logs.File{Path: filepath.Clean(path), Private: true}
	switch at[len(at)-1].Type {
	case "file-handler":
		v, err := r.value(at, "rotate-at-startup")
		f.Aside = v == true
		return f, err
	case "periodic-rotating-file-handler":
		v, err := r.value(at, "suffix")
		f.Suffix = fmt.Sprint(v)
		return f, err
	}
	size, err1 := r.value(at, "rotate-size")
	backups, err2 := r.value(at, "max-backup-index")
	f.MaxSize, _ = size.(int64)
	n, _ := backups.(int64)
	f.Backups = int(n)
	return f, errors.Join(err1, err2)
}

// receiver is where a handler of syslog sends.
func (r resolver) receiver(at profiles.Address) (logs.Syslog, error) {
	var errs []error
	text := func(name string) string {
		v, err := r.value(at, name)
		errs = append(errs, err)
		return fmt.Sprint(v)
	}
	s := logs.Syslog{
		Network: text("protocol"), Address: net.JoinHostPort(text("host"), text("port")),
		Facility: strings.ToLower(text("facility")), App: text("app-name"),
	}
	return s, errors.Join(errs...)
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
	err = errors.Join(err, a.Direct(list))
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
}

// Direct makes the destinations those that are given, beside those of the
// AuditConfig: new ones are opened, those that are not among them any more are
// closed. One that makes no sense is left out; the error says why.
func (a *Audit) Direct(destinations []logs.Output) error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	wanted := map[logs.Output]bool{}
	for _, d := range destinations {
		wanted[a.placed(d)] = true
	}
	var errs []error
	for d, s := range a.sinks { // before others open the same file
		if !wanted[d] {
			errs = append(errs, s.Close())
			delete(a.sinks, d)
		}
	}
	for d := range wanted {
		if a.sinks[d] == nil {
			errs = append(errs, a.openDestination(d))
		}
	}
	return errors.Join(errs...)
}

// placed is a destination with its file in the folder of AuditConfig.File, if it
// is in no other.
func (a *Audit) placed(d logs.Output) logs.Output {
	f, ok := d.(logs.File)
	if ok && !filepath.IsAbs(f.Path) {
		f.Path = filepath.Join(filepath.Dir(a.config.File), f.Path)
		return f
	}
	return d
}

func (a *Audit) openDestination(d logs.Output) error {
	opened := d
	if f, ok := d.(logs.File); ok {
		if f.Path == filepath.Clean(a.config.File) {
			return problem.Conflict.Errorf("cannot write audit events to %s twice: it is the audit log that is always written", f.Path)
		}
		f.Aside = f.Aside && !a.begun[f.Path] // once a process
		opened = f
		a.begun[f.Path] = true
	}
	s, err := logs.OpenLines(opened, a.config.Clock, a.failed)
	if err != nil {
		return problem.Invalid.Errorf("cannot write audit events to %+v: %w", d, err)
	}
	a.sinks[d] = s
	return nil
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
	clear(a.sinks)
	return errors.Join(errs...)
}
