//go:build unix

// Package porttest owns the TCP ports of the loopback interface that tests give
// to what they start. A port that was free a moment ago may be anybody's a moment
// later; these are held until the test ends, against every other process, and yet
// whoever is given the number can listen on it, as often as it likes. It must not
// know who that is. It is never compiled into the product.
package porttest

import (
	"fmt"
	"syscall"
	"testing"
)

// Free holds a port that nobody uses. A connection to it is refused until
// somebody listens.
func Free(t testing.TB) int {
	t.Helper()
	port, release, err := hold(0)
	if err != nil {
		t.Fatalf("cannot hold a free port: %v", err)
	}
	t.Cleanup(release)
	return port
}

// Address is the address of a port that Free holds, 127.0.0.1:port.
func Address(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", Free(t))
}

// Blocks are below the ports that Linux gives to those who name none (32768 and
// above, ip_local_port_range in ip(7)) and above those of well-known services.
const firstBlock, endOfBlocks = 20000, 32000

// Block holds n ports in a row and gives the first. start is where the search
// begins: another for each process spares a search through what others hold.
func Block(t testing.TB, n, start int) int {
	t.Helper()
	places := (endOfBlocks - firstBlock) / n
	for i := range places {
		first := firstBlock + (start+i)%places*n
		if releases, err := holdAll(first, n); err == nil {
			for _, release := range releases {
				t.Cleanup(release)
			}
			return first
		}
	}
	t.Fatalf("cannot hold %d ports in a row between %d and %d: others have them", n, firstBlock, endOfBlocks)
	return 0
}

func holdAll(first, n int) (releases []func(), err error) {
	for port := first; port < first+n; port++ {
		_, release, err := hold(port)
		if err != nil {
			for _, release := range releases {
				release()
			}
			return nil, err
		}
		releases = append(releases, release)
	}
	return releases, nil
}

// hold binds a socket that never listens: nobody is given its port by the kernel,
// nor by another hold. It allows the address to be used again only once it is
// bound: Go's listeners allow it too, and so they may have the port, socket(7).
func hold(port int) (held int, release func(), err error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, nil, err
	}
	held, err = bind(fd, port)
	if err != nil {
		_ = syscall.Close(fd)
		return 0, nil, fmt.Errorf("port %d: %w", port, err)
	}
	return held, func() { _ = syscall.Close(fd) }, nil
}

func bind(fd, port int) (held int, err error) {
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return at.(*syscall.SockaddrInet4).Port, nil
}
