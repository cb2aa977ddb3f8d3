package loadbalancer

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestConnectionsToServersEndSoonAfterTheirHostVanished(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := newDialer().DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]struct{ level, option, want int }{
		"SO_KEEPALIVE":           {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"TCP_KEEPIDLE, seconds":  {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1},
		"TCP_KEEPINTVL, seconds": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1},
		"TCP_USER_TIMEOUT, ms":   {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 4000},
	} {
		if err := raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), o.level, o.option); err != nil || got != o.want {
				t.Errorf("%s is %d, %v; want %d", name, got, err, o.want)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// A socket whose queue is full drops what wants to connect, as a host that is
// not there does.
func TestAnAddressThatSwallowsEverythingIsGivenUpSoon(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	hole := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at.(*syscall.SockaddrInet4).Port}).String()
	for range 3 { // fill the queue
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", hole); err == nil {
			defer conn.Close()
		}
	}
	began := time.Now()
	conn, err := newDialer().DialContext(t.Context(), "tcp", hole)
	if err == nil {
		conn.Close()
		t.Fatal("something answers")
	}
	// Without a limit the kernel tries for two minutes: tcp_syn_retries in ip(7).
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
}
