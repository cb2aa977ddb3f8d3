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

// trace remembers that an operation has been applied, and as what.
type trace struct {
	id      opID
	version Version
}

// traces is how many of the last operations on a key are remembered: a
// repeated one is recognised unless this many others came in between, which
// then is reported as an unknown outcome.
const traces = 4

// entry is what is stored under one key. It is immutable once stored.
type entry struct {
	value    []byte
	version  Version
	modified int64 // Unix milliseconds, decides merges after a split
	expires  int64 // Unix milliseconds, 0: never; of a tombstone: when it is forgotten
	deleted  bool  // a tombstone: keeps late copies from bringing the key back
	last     []trace
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

// remembers reports whether all operations since an epoch are remembered.
func (e *entry) remembers(epoch uint64) bool {
	return e == nil || len(e.last) < traces || e.last[0].version.Epoch < epoch
}

func (e *entry) trail(id opID, v Version) []trace {
	var last []trace
	if e != nil {
		last = e.last[max(0, len(e.last)-traces+1):]
	}
	return append(slices.Clone(last), trace{id, v})
}

// keyed is an entry with its key, as it travels.
type keyed struct {
	key string
	*entry
}

func (k keyed) size() int { return len(k.key) + len(k.value) + 64 + 32*len(k.last) }

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
		b = appendVersion(b, t.version)
	}
	return b
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
		k.last = append(k.last, trace{opID{d.uint64(), d.uint64()}, d.version()})
	}
	return k
}
