package cluster

import (
	"context"
	"io"
	"net"
	"strings"
)

// NewPlain is New with members that believe each other's word: each says the name
// of its node in a line, the caller first.
func NewPlain(cfg Config) (*Node, error) {
	n, err := New(cfg)
	if err == nil {
		n.proof = plain(n.self.Name)
	}
	return n, err
}

type plain string

func (p plain) toMember(ctx context.Context, raw net.Conn, check func(node string) error) (net.Conn, error) {
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	if _, err := io.WriteString(raw, string(p)+"\n"); err != nil {
		return nil, err
	}
	node, err := line(raw)
	if err == nil {
		err = check(node)
	}
	return raw, err
}

func (p plain) fromMember(ctx context.Context, raw net.Conn) (net.Conn, string, error) {
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	from, err := line(raw)
	if err == nil {
		_, err = io.WriteString(raw, string(p)+"\n")
	}
	return raw, from, err
}

// line reads no byte more than the line has.
func line(r io.Reader) (string, error) {
	var text strings.Builder
	var c [1]byte
	for {
		if _, err := io.ReadFull(r, c[:]); err != nil {
			return "", err
		}
		if c[0] == '\n' {
			return text.String(), nil
		}
		text.WriteByte(c[0])
	}
}
