// Package systemd owns how Gatehouse's long-running processes live under
// systemd: the units that "gatehouse agent install" writes, and the words a
// process says to its manager (ready, alive, stopping). It must not know what
// a controller or an agent does.
package systemd

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Service is one unit to be written.
type Service struct {
	// Role is "agent" or "controller".
	Role string
	// Binary is the absolute path of the program, Arguments what follows its
	// command's name.
	Binary    string
	Arguments []string
	// User runs it, Dir is what it may write; both must exist.
	User string
	Dir  string
	// LowPorts gives servers the right to bind ports below 1024.
	LowPorts bool
}

// File is the unit's name: gatehouse-agent.service.
func (s Service) File() string { return "gatehouse-" + s.Role + ".service" }

// Unit is the unit's text.
func (s Service) Unit() (string, error) {
	if s.Role != "agent" && s.Role != "controller" {
		return "", problem.Invalid.Errorf("cannot write a unit for %q (valid: agent, controller)", s.Role)
	}
	for what, path := range map[string]string{"binary": s.Binary, "directory": s.Dir} {
		if !strings.HasPrefix(path, "/") {
			return "", problem.Invalid.Errorf("cannot write a unit: the %s %q is no absolute path", what, path)
		}
	}
	if s.User == "" || strings.ContainsAny(s.User, " \n=%") {
		return "", problem.Invalid.Errorf("cannot write a unit: %q cannot be a user", s.User)
	}
	var text bytes.Buffer
	err := unit.Execute(&text, s)
	return text.String(), err
}

// Exec is the command line as ExecStart takes it: systemd.service(5).
func (s Service) Exec() (string, error) {
	words := append([]string{s.Binary, s.Role}, s.Arguments...)
	for i, w := range words {
		quoted, err := quote(w)
		if err != nil {
			return "", err
		}
		words[i] = quoted
	}
	return strings.Join(words, " "), nil
}

// Path is the directory as ReadWritePaths takes it.
func (s Service) Path() (string, error) { return quote(s.Dir) }

// quote makes one word of any text but one with a line end, which no unit can
// hold: systemd.syntax(7), "Quoting".
func quote(word string) (string, error) {
	if strings.ContainsAny(word, "\n\r\x00") {
		return "", problem.Invalid.Errorf("cannot write a unit: %q has a line end", word)
	}
	word = strings.NewReplacer("%", "%%", "$", "$$").Replace(word)
	if word != "" && !strings.ContainsAny(word, " \t\"'\\;") {
		return word, nil
	}
	return fmt.Sprintf(`"%s"`, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word)), nil
}

// unit is the text of both units. KillMode=process: servers outlive an agent
// that crashes or is upgraded, and the next one adopts them; an agent that is
// stopped stops them itself. Restart=on-failure: what ends with 0 was told to,
// as a host that the domain shut down. Delegate and DelegateSubgroup (systemd 254) let
// the agent bound each server's memory exactly.
var unit = template.Must(template.New("unit").Parse(`[Unit]
Description=Gatehouse {{if eq .Role "agent"}}host agent{{else}}domain controller{{end}}
Documentation=https://github.com/gatehouse-idp/gatehouse
Wants=network-online.target
After=network-online.target{{if eq .Role "agent"}} gatehouse-controller.service{{end}}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={{.Exec}}
User={{.User}}
Restart=on-failure
RestartSec=1
WatchdogSec=60
TimeoutStartSec=120
TimeoutStopSec=90
{{if eq .Role "agent" -}}
KillMode=process
SendSIGKILL=yes
Delegate=memory pids
DelegateSubgroup=agent
{{else -}}
KillMode=mixed
{{end -}}
LimitNOFILE=65536
TasksMax=infinity
OOMPolicy=continue
UMask=0027

NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={{.Path}}
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
{{if eq .Role "controller"}}ProtectControlGroups=yes
{{end -}}
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
{{if .LowPorts -}}
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
{{else -}}
CapabilityBoundingSet=
{{end}}
[Install]
WantedBy=multi-user.target
`))
