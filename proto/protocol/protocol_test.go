package protocol

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTheNewestProtocolThatBothSpeakIsNegotiated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := func(name string) Speaks {
			oldest := rapid.Uint32Range(1, 8).Draw(t, name)
			return Speaks{Oldest: oldest, Newest: oldest + rapid.Uint32Range(0, 3).Draw(t, name+"'s range")}
		}
		one, two := side("one"), side("two")
		want := uint32(0)
		for p := uint32(1); p < 20; p++ {
			if one.Oldest <= p && p <= one.Newest && two.Oldest <= p && p <= two.Newest {
				want = p
			}
		}
		if got := Negotiate(one, two); got != want || Negotiate(two, one) != want {
			t.Fatalf("%s and %s negotiated %d, want %d", one, two, got, want)
		}
	})
}

func TestAProgramThatSaysNothingSpeaksOne(t *testing.T) {
	for _, c := range []struct{ oldest, newest, wantOldest, wantNewest uint32 }{
		{0, 0, 1, 1}, {0, 3, 3, 3}, {2, 3, 2, 3}, {7, 3, 3, 3},
	} {
		if s := Heard(c.oldest, c.newest, "x"); s.Oldest != c.wantOldest || s.Newest != c.wantNewest {
			t.Errorf("%d to %d was heard as %s", c.oldest, c.newest, s)
		}
	}
}
