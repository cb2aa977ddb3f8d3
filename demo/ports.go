package demo

import (
	"fmt"
	"os"
	"syscall"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Ports are where the demo listens on the loopback interface.
type Ports struct {
	Balancer int // the balancer's http port
	OneShift int // port offset of server-one
	TwoShift int // port offset of server-two
	Native   int // controller: hosts and management, gRPC
	HTTP     int // controller: console and HTTP management API
	Raft     int // controller: replication
	Health   int // health and metrics of a server, before its offset
	Cluster  int // cluster traffic of a server, before its offset
	Hosts    int // health and metrics of the first host's agent; the second's is the next
}

// DefaultPorts are those that the documentation names.
func DefaultPorts() Ports {
	return Ports{Balancer: 8080, OneShift: 150, TwoShift: 250, Native: 9999, HTTP: 9990, Raft: 9998, Health: 9000, Cluster: 7600, Hosts: 9001}
}

// Where free ports are looked for: above those of well-known services and below
// those that Linux gives to who names none (32768, ip_local_port_range in ip(7)).
// One demo's ports lie within distance of its first.
const firstBase, endOfBases, distance = 20000, 32000, 250

// FreePorts finds ports that nobody uses and holds them until release: they are
// refused to every other process, and yet the parts of the demo can listen on
// them, as often as they are started. So several demos may begin at once.
func FreePorts() (p Ports, release func(), err error) {
	const places = (endOfBases - firstBase) / distance
	for i := range places {
		base := firstBase + (os.Getpid()+i)%places*distance // another for each process spares a search
		p := Ports{Balancer: base, Health: base + 10, Cluster: base + 20, Native: base + 30, HTTP: base + 31, Raft: base + 32,
			Hosts: base + 33, OneShift: 100, TwoShift: 200}
		if release, err = holdAll(p.all()); err == nil {
			return p, release, nil
		}
	}
	return Ports{}, nil, problem.Unavailable.Errorf("cannot find free ports between %d and %d for the demo, the last reason is: %w", firstBase, endOfBases, err)
}

// all lists every port that a part of the demo listens on.
func (p Ports) all() []int {
	ports := []int{p.Native, p.HTTP, p.Raft}
	for i := range hosts {
		ports = append(ports, p.Hosts+i)
	}
	for _, shift := range []int{0, p.OneShift, p.TwoShift} {
		ports = append(ports, p.Balancer+shift, p.Health+shift, p.Cluster+shift)
	}
	return ports
}

func holdAll(ports []int) (release func(), err error) {
	var held []int
	release = func() {
		for _, fd := range held {
			_ = syscall.Close(fd)
		}
	}
	for _, port := range ports {
		fd, err := hold(port)
		if err != nil {
			release()
			return nil, fmt.Errorf("port %d: %w", port, err)
		}
		held = append(held, fd)
	}
	return release, nil
}

// hold binds a socket that never listens, so that nobody else can bind its port.
// It allows the address to be used again only once it is bound: Go's listeners
// allow it too, and so they may have the port (socket(7)).
func hold(port int) (fd int, err error) {
	syscall.ForkLock.RLock()
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, err
	}
	err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err == nil {
		err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	}
	if err != nil {
		_ = syscall.Close(fd)
		return 0, err
	}
	return fd, nil
}
