package durable

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// drawn is a value of any type with every field filled in.
func drawn(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(rapid.OneOf(rapid.SampledFrom(append(words[:], "", "\x01\x02", "\x1a", `"`, "\\u0001")), rapid.String()).Draw(t, "text"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "number"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "flag"))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		drawn(t, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			drawn(t, v.Field(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(0, 3).Draw(t, "entries") {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			drawn(t, key)
			drawn(t, value)
			v.SetMapIndex(key, value)
		}
	default:
		t.Fatalf("cannot draw a %s", v.Type())
	}
}

func TestAnEntryGivesItsSessionBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &model.UserSession{}
		drawn(t, reflect.ValueOf(want).Elem())
		for id, c := range want.Clients {
			c.ClientID = id
		}
		key := storage.SessionKey{Realm: want.RealmID, ID: want.ID, Offline: want.Offline}
		epoch := rapid.Uint64().Draw(t, "epoch")
		value, err := encode(epoch, want)
		if err != nil {
			t.Fatal(err)
		}
		got, at, ok := decode(key, value, epoch)
		if !ok || at != epoch {
			t.Fatalf("%q is not read: %v, epoch %d of %d", value, ok, at, epoch)
		}
		for _, s := range []*model.UserSession{want, got} { // an empty map is none
			s.Notes = filled(s.Notes)
			for _, c := range s.Clients {
				c.Notes = filled(c.Notes)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v became %+v", want, got)
		}
		if _, _, ok := decode(key, value, epoch+1); ok && epoch != math.MaxUint64 {
			t.Fatal("an entry of before the floor is read")
		}
	})
}

// A mark that went because nobody looked at it would let what was there before a
// write be served again.
func TestOnlySessionsGoUnused(t *testing.T) {
	session, err := encode(1, &model.UserSession{ID: "s", RealmID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	idle := Idle(time.Hour)
	for name, c := range map[string]struct {
		value []byte
		want  time.Duration
	}{
		"a session": {session, time.Hour}, "one of an older server": {[]byte{isPlain, 1, '{', '}'}, time.Hour},
		"a mark": {mark(make([]byte, tokenSize)), 0}, "a reserve": {[]byte{isReserve}, 0}, "what is left of a mark": {[]byte{isEmpty}, 0}, "nothing": {nil, 0},
	} {
		if got := idle(c.value); got != c.want {
			t.Errorf("%s may go unused for %s, want %s", name, got, c.want)
		}
	}
	if Idle(0) != nil || Idle(-time.Millisecond) != nil {
		t.Error("without a limit something is looked at")
	}
}

func filled(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func TestWhatIsNoEntryIsNotRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SliceOf(rapid.Byte()).Draw(t, "value")
		if len(value) > 0 && rapid.Bool().Draw(t, "of a session") {
			value[0] = isSession
		}
		_, _, _ = decode(storage.SessionKey{}, value, 0)
	})
}

// TestALoginIsSmallInMemory: 100,000 of them are to take 120 MiB a server.
func TestALoginIsSmallInMemory(t *testing.T) {
	const id, client, now = "1b671a64-40d5-491e-99b0-da01ff1f3341", "5d3c0f36-3a6f-4a0e-8d3e-0c6d1f0b7a52", 1_795_420_000
	session := &model.UserSession{
		ID: id, RealmID: id, UserID: id, LoginUsername: "alice", IPAddress: "192.0.2.100", AuthMethod: "openid-connect", State: "LOGGED_IN",
		Started: now, LastAccess: now, Expires: now + 1800, Notes: map[string]string{"AUTH_TIME": "1795420000"},
		Clients: map[string]*model.ClientSession{client: {ClientID: client, Protocol: "openid-connect", RedirectURI: "https://app.example/callback", Started: now, LastAccess: now,
			Notes: map[string]string{"client_id": "web", "redirect_uri": "https://app.example/callback", "response_type": "code", "scope": "openid email profile", "state": id, "nonce": client}}},
	}
	plain, _ := json.Marshal(stored{UserSession: session, Clients: map[string]storedClient{client: {session.Clients[client], client}}})
	value, err := encode(1<<20, session)
	if err != nil || len(value) > 300 {
		t.Errorf("a login with one client takes %d bytes (%v): %q", len(value), err, value)
	}
	t.Logf("%d bytes, %d as JSON", len(value), len(plain))
}
