package access

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Event is one line of the audit log. Sensitive values in Operation are masked
// before it is made.
type Event struct {
	Time      time.Time `json:"time"`
	User      string    `json:"user"`
	Mechanism Mechanism `json:"mechanism,omitempty"`
	Remote    string    `json:"remote,omitempty"`
	Access    string    `json:"access"`  // "native" (gRPC) or "http"
	Outcome   string    `json:"outcome"` // "success", "failed", "denied"
	ReadOnly  bool      `json:"read-only"`
	Operation any       `json:"operation,omitempty"`
	Revision  uint64    `json:"revision,omitempty"`
	Failure   string    `json:"failure,omitempty"`
}

// AuditConfig says where audit events go.
type AuditConfig struct {
	// File is appended to, mode 0600; "" writes no file.
	File string
	// MaxBytes rotates the file to File+".1" when it would grow beyond; 0 never.
	MaxBytes int64
	// Syslog names a syslog daemon: "local", or "udp://host:port",
	// "tcp://host:port", "tls://host:port"; "" sends nothing.
	Syslog string
	// Failed is told of an event that could not be written, and once of a
	// destination that cannot be reached, by any goroutine; nil ignores it.
	Failed func(error)
	// Environment resolves the model's expressions, beside its system properties;
	// nil knows nothing.
	Environment profiles.Lookup
	Clock       clock.Clock
}

// Audit writes audit events. It is safe for concurrent use.
type Audit struct {
	config AuditConfig
	mu     sync.Mutex
	file   *os.File
	size   int64
	syslog io.WriteCloser
	sinks  map[logs.Output]*logs.Lines // of the model
	begun  map[string]bool             // files that were among them
	told   string                      // what was last said of destinations that cannot be used
}

// NewAudit opens the audit log. Its zero destinations are valid: events then
// go nowhere.
func NewAudit(c AuditConfig) (*Audit, error) {
	a := &Audit{config: c, sinks: map[logs.Output]*logs.Lines{}, begun: map[string]bool{}}
	if err := a.open(); err != nil {
		return nil, err
	}
	if c.Syslog != "" {
		w, err := openSyslog(c.Syslog, c.Clock, a.failed)
		if err != nil {
			return nil, errors.Join(err, a.Close())
		}
		a.syslog = w
	}
	return a, nil
}

func (a *Audit) open() error {
	if a.config.File == "" {
		return nil
	}
	f, err := os.OpenFile(a.config.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return problem.Internal.Errorf("cannot open the audit log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	a.file, a.size = f, info.Size()
	return nil
}

// Audited reports whether the model wants an operation recorded: the resource
// /core-service=management/access=audit/logger=audit-log says so. Operations on
// that resource itself always are, so that nobody turns the log off unseen.
func Audited(op profiles.Operation, tree profiles.Tree) bool {
	at := auditAddress.Child("logger", "audit-log")
	switch {
	case areaOf(op.Address) == auditArea && !op.ReadOnly():
		return true
	case tree.Value(at, "enabled") == false:
		return false
	}
	return !op.ReadOnly() || tree.Value(at, "log-read-only") != false
}

// Record writes one event; its time is set here. A nil Audit records nothing.
func (a *Audit) Record(e Event) {
	if a == nil {
		return
	}
	e.Time = a.config.Clock.Now().UTC()
	line, err := json.Marshal(e)
	if err == nil {
		err = a.write(append(line, '\n'))
	}
	if err != nil {
		a.failed(problem.Internal.Errorf("cannot write the audit log: %w", err))
	}
}

func (a *Audit) failed(err error) {
	if a.config.Failed != nil {
		a.config.Failed(err)
	}
}

func (a *Audit) write(line []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	if a.file != nil && a.config.MaxBytes > 0 && a.size > 0 && a.size+int64(len(line)) > a.config.MaxBytes {
		errs = append(errs, a.rotate())
	}
	if a.file != nil {
		n, err := a.file.Write(line)
		a.size += int64(n)
		errs = append(errs, err)
	}
	if a.syslog != nil {
		_, err := a.syslog.Write(line)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, a.writeSinks(line))...)
}

func (a *Audit) rotate() error {
	err := a.file.Close()
	a.file = nil
	return errors.Join(err, os.Rename(a.config.File, a.config.File+".1"), a.open())
}

// Close ends the log.
func (a *Audit) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	errs := []error{a.closeSinks()}
	if a.file != nil {
		errs = append(errs, a.file.Close())
		a.file = nil
	}
	if a.syslog != nil {
		errs = append(errs, a.syslog.Close())
		a.syslog = nil
	}
	return errors.Join(errs...)
}
