package caches

import (
	"encoding/binary"
	"slices"
	"time"
)

// The kinds of operation.
const (
	opGet byte = iota + 1
	opPut
	opPutIfAbsent
	opReplace
	opRemove
	opMerge  // an entry from the other side of a healed partition
	opExpire // an entry of that version that nobody used; of the primary's own accord
)

// operation is one request to a key's primary.
type operation struct {
	kind    byte
	again   bool // sent before: it may have been applied
	id      opID
	since   Version // if again: it was applied as this version or a later one
	started int64   // Unix milliseconds
	key     string
	value   []byte
	ttl     time.Duration
	version Version
	// Only in opMerge:
	modified, expires int64
	deleted           bool
}

// mayBe notes that the operation may have been applied as a version, or, if
// that is zero, as any since the epoch of its first attempt.
func (o *operation) mayBe(as Version, first uint64) {
	if as == (Version{}) {
		as = Version{Epoch: first}
	}
	if !o.again || as.Before(o.since) {
		o.since = as
	}
	o.again = true
}

func (o operation) append(b []byte) []byte {
	flags := byte(0)
	if o.again {
		flags |= 1
	}
	if o.deleted {
		flags |= 2
	}
	b = append(b, o.kind, flags)
	b = binary.BigEndian.AppendUint64(b, o.id[0])
	b = binary.BigEndian.AppendUint64(b, o.id[1])
	b = binary.AppendVarint(appendVersion(b, o.since), o.started)
	b = appendBytes(b, []byte(o.key))
	b = appendBytes(b, o.value)
	b = binary.AppendVarint(b, int64(o.ttl))
	b = appendVersion(b, o.version)
	return binary.AppendVarint(binary.AppendVarint(b, o.modified), o.expires)
}

func readOperation(b []byte) (operation, error) {
	d := decoder{b: b}
	o := operation{kind: d.byte()}
	flags := d.byte()
	o.again, o.deleted = flags&1 != 0, flags&2 != 0
	o.id = opID{d.uint64(), d.uint64()}
	o.since, o.started = d.version(), d.varint()
	o.key, o.value = string(d.bytes()), slices.Clone(d.bytes())
	o.ttl = time.Duration(d.varint())
	o.version = d.version()
	o.modified, o.expires = d.varint(), d.varint()
	return o, d.err
}

// The outcomes of an attempt.
const (
	answered  byte = iota
	elsewhere      // not here, or not now; nothing was done
	retry          // may have been applied, if so as the result's version
	unknown        // may have been applied: nobody remembers
	refused        // no majority
)

// result is a primary's answer.
type result struct {
	status  byte
	done    bool // the operation took effect
	found   bool // the fields below are those of the key's live entry
	version Version
	value   []byte
	expires int64
}

func (r result) item() Item {
	if !r.found {
		return Item{}
	}
	i := Item{Value: slices.Clone(r.value), Version: r.version}
	if r.expires != 0 {
		i.Expires = time.UnixMilli(r.expires)
	}
	return i
}

func (r result) append(b []byte) []byte {
	flags := byte(0)
	if r.done {
		flags |= 1
	}
	if r.found {
		flags |= 2
	}
	b = append(b, r.status, flags)
	b = appendVersion(b, r.version)
	return binary.AppendVarint(appendBytes(b, r.value), r.expires)
}

func readResult(b []byte) (result, error) {
	d := decoder{b: b}
	r := result{status: d.byte()}
	flags := d.byte()
	r.done, r.found = flags&1 != 0, flags&2 != 0
	r.version = d.version()
	r.value, r.expires = d.bytes(), d.varint()
	return r, d.err
}

// decide is what the operation does to a key's entry at a time (Unix
// milliseconds): its answer, and the entry to store, without its version, or
// nil to leave things as they are.
func (o operation) decide(e *entry, now int64) (result, *entry) {
	var is result
	live := e.live(now)
	if live {
		is = result{found: true, version: e.version, value: e.value, expires: e.expires}
	}
	next := &entry{value: o.value, modified: now}
	if o.ttl > 0 {
		next.expires = now + max(1, o.ttl.Milliseconds())
	}
	switch o.kind {
	case opPut:
	case opPutIfAbsent:
		if live {
			return is, nil
		}
	case opReplace:
		if !live || e.version != o.version {
			return is, nil
		}
	case opRemove:
		if !live {
			return is, nil
		}
		next = tombstone(now)
	case opExpire:
		if live || e == nil || e.deleted || e.version != o.version {
			return is, nil
		}
		next = tombstone(now)
	case opMerge:
		if e != nil && (e.modified > o.modified || e.modified == o.modified && !e.version.Before(o.version)) {
			return is, nil
		}
		next = &entry{value: o.value, modified: o.modified, expires: o.expires, deleted: o.deleted}
	default: // opGet
		return is, nil
	}
	return is, next
}

func tombstone(now int64) *entry {
	return &entry{modified: now, expires: now + tombstoneLife.Milliseconds(), deleted: true}
}

// tombstoneLife is how long a removed key is remembered: far longer than any
// copy of it can be under way between members.
const tombstoneLife = 5 * time.Minute
