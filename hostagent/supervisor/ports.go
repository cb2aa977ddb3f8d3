package supervisor

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// tryPorts listens on each port for a moment, and names the process that holds
// one that is taken.
func tryPorts(server string, ports []Port) error {
	var errs []error
	for _, p := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(p.Address, strconv.Itoa(p.Port)))
		if err == nil {
			_ = l.Close()
			continue
		}
		where := fmt.Sprintf("cannot start server %q: port %d (%s)", server, p.Port, p.Binding)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			errs = append(errs, problem.Conflict.Errorf("%s is taken by %s", where, listenerOn(p.Port)))
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			errs = append(errs, problem.Invalid.Errorf("%s: %s is no address of this machine", where, p.Address))
		case errors.Is(err, syscall.EACCES):
			errs = append(errs, problem.Forbidden.Errorf("%s needs the right to bind ports below 1024 (CAP_NET_BIND_SERVICE)", where))
		default:
			errs = append(errs, problem.Invalid.Errorf("%s: %w", where, err))
		}
	}
	return errors.Join(errs...)
}

// listenerOn names the process that listens on a TCP port: "process 42
// (nginx -g daemon off;)".
func listenerOn(port int) string {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listeningInodes(table, port, inodes)
	}
	if len(inodes) == 0 {
		return "a connection that is being closed"
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil {
			continue
		}
		inode, ok := strings.CutPrefix(to, "socket:[")
		if !ok || !inodes[strings.TrimSuffix(inode, "]")] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		return fmt.Sprintf("process %s (%s)", pid, commandOf(pid))
	}
	return "a process of another user"
}

// listeningInodes adds the sockets of a /proc/net/tcp table that listen on port.
func listeningInodes(table string, port int, inodes map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	const listen = "0A" // TCP_LISTEN, include/net/tcp_states.h
	suffix := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && fields[3] == listen && strings.HasSuffix(fields[1], suffix) {
			inodes[fields[9]] = true
		}
	}
}

// commandOf is a process's command line, shortened: arguments of foreign
// programs may be long, and may hold what is not ours to show.
func commandOf(pid string) string {
	line, err := os.ReadFile("/proc/" + pid + "/cmdline")
	if err != nil || len(line) == 0 {
		name, _ := os.ReadFile("/proc/" + pid + "/comm")
		return strings.TrimSpace(string(name))
	}
	program, rest, _ := strings.Cut(strings.TrimRight(string(line), "\x00"), "\x00")
	if first, _, _ := strings.Cut(rest, "\x00"); first != "" && !strings.ContainsAny(first, "=:@") {
		program += " " + first
	}
	return program
}
