package consensus

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// KeySize is the length of the key that seals log and snapshots, in bytes.
const KeySize = 32

// box seals what goes to the disk: AES-256-GCM. An entry is a random nonce and
// the ciphertext; 2^32 entries under one key are safe with random nonces
// (NIST SP 800-38D, 8.3). A snapshot is a stream under a key of its own.
type box struct {
	key  []byte
	aead cipher.AEAD
}

func newBox(key []byte) (*box, error) {
	if len(key) != KeySize {
		return nil, problem.Invalid.Errorf("cannot use the domain's key: it has %d bytes, want %d", len(key), KeySize)
	}
	aead, err := gcm(key)
	return &box{key: key, aead: aead}, err
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (b *box) seal(plain []byte) []byte {
	nonce := make([]byte, b.aead.NonceSize(), b.aead.NonceSize()+len(plain)+b.aead.Overhead())
	rand.Read(nonce) // never fails (crypto/rand)
	return b.aead.Seal(nonce, nonce, plain, nil)
}

func (b *box) open(sealed []byte) ([]byte, error) {
	n := b.aead.NonceSize()
	if len(sealed) < n {
		return nil, problem.Internal.Errorf("cannot open a log entry of %d bytes: it is cut off", len(sealed))
	}
	plain, err := b.aead.Open(nil, sealed[:n], sealed[n:], nil)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot open a log entry: it was not written with this domain's key, or is damaged")
	}
	return plain, nil
}

// Streams are cut into chunks, each sealed with a counter as its nonce whose
// last byte marks the final chunk, so that a stream that was cut off or
// reordered is noticed (the STREAM construction).
const (
	chunkSize = 64 << 10
	saltSize  = 32
)

type sealWriter struct {
	w     *bufio.Writer
	aead  cipher.AEAD
	buf   []byte
	count uint64
}

func (b *box) sealStream(w io.Writer) (*sealWriter, error) {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	aead, err := b.streamKey(salt)
	if err != nil {
		return nil, err
	}
	s := &sealWriter{w: bufio.NewWriter(w), aead: aead, buf: make([]byte, 0, chunkSize)}
	_, err = s.w.Write(salt)
	return s, err
}

func (b *box) streamKey(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, b.key, salt, "gatehouse snapshot v1", KeySize)
	if err != nil {
		return nil, err
	}
	return gcm(key)
}

// Write implements io.Writer.
func (s *sealWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if len(s.buf) == chunkSize {
			if err := s.flush(0); err != nil {
				return n, err
			}
		}
		k := min(len(p), chunkSize-len(s.buf))
		s.buf = append(s.buf, p[:k]...)
		p, n = p[k:], n+k
	}
	return n, nil
}

// Close writes the final chunk.
func (s *sealWriter) Close() error {
	if err := s.flush(1); err != nil {
		return err
	}
	return s.w.Flush()
}

func (s *sealWriter) flush(last byte) error {
	sealed := s.aead.Seal(nil, streamNonce(s.count, last), s.buf, nil)
	s.count++
	s.buf = s.buf[:0]
	_, err := s.w.Write(sealed)
	return err
}

func streamNonce(count uint64, last byte) []byte {
	nonce := make([]byte, 12)
	binary.BigEndian.PutUint64(nonce[3:], count)
	nonce[11] = last
	return nonce
}

type openReader struct {
	r     *bufio.Reader
	aead  cipher.AEAD
	plain []byte
	count uint64
	done  bool
}

func (b *box) openStream(r io.Reader) (*openReader, error) {
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(r, salt); err != nil {
		return nil, problem.Internal.Errorf("cannot open the snapshot: %w", err)
	}
	aead, err := b.streamKey(salt)
	if err != nil {
		return nil, err
	}
	return &openReader{r: bufio.NewReaderSize(r, chunkSize+aead.Overhead()+1), aead: aead}, nil
}

// Read implements io.Reader.
func (o *openReader) Read(p []byte) (int, error) {
	for len(o.plain) == 0 {
		if o.done {
			return 0, io.EOF
		}
		if err := o.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, o.plain)
	o.plain = o.plain[n:]
	return n, nil
}

func (o *openReader) next() error {
	sealed := make([]byte, chunkSize+o.aead.Overhead())
	n, err := io.ReadFull(o.r, sealed)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return problem.Internal.Errorf("cannot open the snapshot: it is cut off")
	}
	last := byte(0)
	if _, err := o.r.Peek(1); err != nil {
		last, o.done = 1, true
	}
	o.plain, err = o.aead.Open(nil, streamNonce(o.count, last), sealed[:n], nil)
	o.count++
	if err != nil {
		return problem.Internal.Errorf("cannot open the snapshot: it was not written with this domain's key, or is damaged")
	}
	return nil
}
