package caches

import (
	"encoding/binary"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Version orders the writes of one key: by the epoch of the placement they
// were made in, then by a count of the primary's. The zero Version is before
// all others.
type Version struct{ Epoch, Count uint64 }

// Before reports whether v is older than o.
func (v Version) Before(o Version) bool {
	return v.Epoch < o.Epoch || v.Epoch == o.Epoch && v.Count < o.Count
}

// opID names one operation through all its repetitions.
type opID [2]uint64

// trace remembers that an operation has been applied, when (Unix milliseconds
// of the primary) and as what.
type trace struct {
	id      opID
	version Version
	at      int64
}

const (
	// traces is how many operations on a key are remembered at most, and
	// traceLife for how many milliseconds: longer than any is repeated. One
	// that is repeated after both limits ends with an unknown outcome.
	traces    = 16
	traceLife = 30_000
	// skew is by how many milliseconds clocks of members may differ; the
	// agents warn from 500 on.
	skew = 1000
)

func (t trace) forget() forgotten { return forgotten{t.version, t.at} }

// entry is what is stored under one key. It is immutable once stored.
type entry struct {
	value    []byte
	version  Version
	modified int64 // Unix milliseconds, decides merges after a split
	expires  int64 // Unix milliseconds, 0: never; of a tombstone: when it is forgotten
	deleted  bool  // a tombstone: keeps late copies from bringing the key back
	last     []trace
	dropped  forgotten // the newest that is no longer in last
}

// forgotten is a trace without its operation's id.
type forgotten struct {
	version Version
	at      int64
}

// live reports whether the entry counts at that time (Unix milliseconds).
func (e *entry) live(now int64) bool {
	return e != nil && !e.deleted && (e.expires == 0 || now < e.expires)
}

// applied finds an operation among the remembered.
func (e *entry) applied(id opID) (Version, bool) {
	if e == nil {
		return Version{}, false
	}
	for _, t := range e.last {
		if t.id == id {
			return t.version, true
		}
	}
	return Version{}, false
}

// remembers reports whether an operation would be among the remembered if it
// had been applied, which was as version since or a later one, and not before
// that time (Unix milliseconds).
func (e *entry) remembers(since Version, at int64) bool {
	return e == nil || e.dropped.version.Before(since) || e.dropped.at+skew < at
}

// leaveTrace makes next remember what was applied to e, and one more.
func (e *entry) leaveTrace(next *entry, id opID, now int64) {
	if e != nil {
		keep := e.last[max(0, len(e.last)-traces+1):]
		for len(keep) > 0 && keep[0].at+traceLife < now {
			keep = keep[1:]
		}
		next.dropped = e.dropped
		if n := len(e.last) - len(keep); n > 0 {
			next.dropped = e.last[n-1].forget()
		}
		next.last = slices.Clone(keep)
	}
	next.last = append(next.last, trace{id, next.version, now})
}

// keyed is an entry with its key, as it travels.
type keyed struct {
	key string
	*entry
}

func (k keyed) size() int { return len(k.key) + len(k.value) + 64 + 40*len(k.last) }

func appendKeyed(b []byte, k keyed) []byte {
	b = appendBytes(b, []byte(k.key))
	b = appendBytes(b, k.value)
	b = appendVersion(b, k.version)
	b = binary.AppendVarint(b, k.modified)
	b = binary.AppendVarint(b, k.expires)
	flag := byte(0)
	if k.deleted {
		flag = 1
	}
	b = append(b, flag, byte(len(k.last)))
	for _, t := range k.last {
		b = binary.BigEndian.AppendUint64(b, t.id[0])
		b = binary.BigEndian.AppendUint64(b, t.id[1])
		b = binary.AppendVarint(appendVersion(b, t.version), t.at)
	}
	return binary.AppendVarint(appendVersion(b, k.dropped.version), k.dropped.at)
}

func appendBytes(b, data []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

func appendVersion(b []byte, v Version) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, v.Epoch), v.Count)
}

// decoder reads what the append functions wrote; err sticks.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = problem.Invalid.Errorf("cannot read a message of another server: it is cut short")
	}
	d.b = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take(n uint64) []byte {
	if uint64(len(d.b)) < n {
		d.fail()
		return nil
	}
	data := d.b[:n:n]
	d.b = d.b[n:]
	return data
}

func (d *decoder) byte() byte {
	if data := d.take(1); data != nil {
		return data[0]
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if data := d.take(8); data != nil {
		return binary.BigEndian.Uint64(data)
	}
	return 0
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

func (d *decoder) version() Version { return Version{d.uvarint(), d.uvarint()} }

// keyed copies what it reads: messages are large and entries live long.
func (d *decoder) keyed() keyed {
	k := keyed{key: string(d.bytes()), entry: &entry{}}
	k.value = slices.Clone(d.bytes())
	k.version = d.version()
	k.modified, k.expires = d.varint(), d.varint()
	k.deleted = d.byte() == 1
	for range min(d.byte(), traces) {
		k.last = append(k.last, trace{opID{d.uint64(), d.uint64()}, d.version(), d.varint()})
	}
	k.dropped = forgotten{d.version(), d.varint()}
	return k
}
