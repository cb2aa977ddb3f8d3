package porttest

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
)

func TestAHeldPortIsNobodysUntilItsOwnerListens(t *testing.T) {
	address := Address(t)
	for range 3 { // servers are restarted
		if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("a connection to it: %v, %v", conn, err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		in.Close() // this end stays behind, in TIME_WAIT
		conn.Close()
		l.Close()
	}
	l, err := net.Listen("tcp", fmt.Sprintf(":%s", port(address))) // a server of all addresses
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func port(address string) string { _, port, _ := net.SplitHostPort(address); return port }

func TestAHeldPortIsHeldOnce(t *testing.T) {
	if _, _, err := hold(Free(t)); err == nil {
		t.Error("it was held twice")
	}
}

func TestBlocksDoNotOverlap(t *testing.T) {
	one := Block(t, 50, 7)
	two := Block(t, 50, 7)
	if one == two || one < firstBlock || two+50 > endOfBlocks {
		t.Errorf("blocks at %d and %d", one, two)
	}
}
