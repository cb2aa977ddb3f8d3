package durable

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// The kinds of entry, the first byte of each.
const (
	isEmpty   byte = iota // nothing is known
	isMark                // tokens of those who are changing the session: read the database
	isReserve             // somebody is reading it from the database for all
	isPlain               // the session as JSON, as older servers write it
	isSession             // the packed session, read or written under an entry of the given epoch
)

// tokenSize is the bytes of a mark's token.
const tokenSize = 16

func name(key storage.SessionKey) string { return key.Realm + "/" + key.ID }

func mark(tokens []byte) []byte { return append([]byte{isMark}, tokens...) }

// stored is a session with its clients, which model.UserSession leaves out, and
// without its ids, which the entry's key has: memory is dear.
type stored struct {
	*model.UserSession
	ID      string                  `json:"id,omitempty"`
	RealmID string                  `json:"realmId,omitempty"`
	Clients map[string]storedClient `json:"clients,omitempty"`
}

// storedClient is a client's session without the id that it is found by.
type storedClient struct {
	*model.ClientSession
	ClientID string `json:"clientId,omitempty"`
}

// Idle is caches.DistributedConfig.Idle of a cache whose sessions may go unused for
// a time; 0: for ever. Marks stay, whoever asks: they keep others from what was
// before a write.
func Idle(limit time.Duration) func(value []byte) time.Duration {
	if limit <= 0 {
		return nil
	}
	return func(value []byte) time.Duration {
		if len(value) > 0 && (value[0] == isSession || value[0] == isPlain) {
			return limit
		}
		return 0
	}
}

// encode is the entry of a session that was fetched under an entry of that epoch.
func encode(epoch uint64, session *model.UserSession) ([]byte, error) {
	clients := make(map[string]storedClient, len(session.Clients))
	for id, c := range session.Clients {
		clients[id] = storedClient{ClientSession: c}
	}
	text, err := json.Marshal(stored{UserSession: session, Clients: clients})
	if err != nil {
		return nil, err
	}
	value := append(binary.AppendUvarint([]byte{isSession}, epoch), pack.Replace(string(text))...)
	if len(value) > maxEntry {
		return nil, problem.TooLarge.Errorf("cannot keep session %s: it has %d bytes, more than %d", session.ID, len(value), maxEntry)
	}
	return value, nil
}

// decode gives the session of a key's entry and the epoch that it was fetched
// in, unless that is before the floor.
func decode(key storage.SessionKey, value []byte, floor uint64) (session *model.UserSession, epoch uint64, ok bool) {
	if len(value) == 0 || value[0] != isSession && value[0] != isPlain {
		return nil, 0, false
	}
	epoch, n := binary.Uvarint(value[1:])
	if n <= 0 || epoch < floor {
		return nil, 0, false
	}
	text := value[1+n:]
	if value[0] == isSession {
		text = []byte(unpack.Replace(string(text)))
	}
	s := stored{UserSession: &model.UserSession{}}
	if json.Unmarshal(text, &s) != nil {
		return nil, 0, false
	}
	session = s.UserSession
	session.ID, session.RealmID = key.ID, key.Realm
	session.Clients = make(map[string]*model.ClientSession, len(s.Clients))
	for id, c := range s.Clients {
		if c.ClientSession == nil {
			return nil, 0, false
		}
		c.ClientSession.ClientID = id
		session.Clients[id] = c.ClientSession
	}
	return session, epoch, true
}
