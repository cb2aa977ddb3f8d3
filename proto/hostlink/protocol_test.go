package hostlink

import (
	"testing"

	"google.golang.org/protobuf/proto"
)

func TestTheNewestProtocolThatBothSpeakIsNegotiated(t *testing.T) {
	for _, c := range []struct {
		one, two Speaks
		want     uint32
	}{
		{Speaks{Oldest: 1, Newest: 1}, Speaks{Oldest: 1, Newest: 1}, 1},
		{Speaks{Oldest: 1, Newest: 2}, Speaks{Oldest: 1, Newest: 1}, 1}, // the one was upgraded first
		{Speaks{Oldest: 2, Newest: 3}, Speaks{Oldest: 1, Newest: 2}, 2},
		{Speaks{Oldest: 2, Newest: 3}, Speaks{Oldest: 2, Newest: 5}, 3},
		{Speaks{Oldest: 3, Newest: 4}, Speaks{Oldest: 1, Newest: 2}, 0}, // two minor versions apart
	} {
		for _, way := range [][2]Speaks{{c.one, c.two}, {c.two, c.one}} {
			if got := Negotiate(way[0], way[1]); got != c.want {
				t.Errorf("%s and %s negotiated %d, want %d", way[0], way[1], got, c.want)
			}
		}
	}
}

func TestAHelloWithoutAnOldestProtocolSpeaksOne(t *testing.T) {
	if s := (&Hello{Protocol: 1, Version: "1.0.0"}).Protocols(); s.Oldest != 1 || s.String() != "protocol 1 (version 1.0.0)" {
		t.Errorf("%+v, %s", s, s)
	}
	if s := (&Hello{Protocol: 3, OldestProtocol: 2, Version: "1.1.0"}).Protocols(); s.String() != "protocols 2 to 3 (version 1.1.0)" {
		t.Errorf("%s", s)
	}
}

// Within a minor version messages only grow: what an older reader gets of a
// newer writer, and the other way round, is what both know.
func TestWhatAnotherVersionAddedIsSkipped(t *testing.T) {
	newer, err := proto.Marshal(&Instruction{Instruction: &Instruction_Welcome{Welcome: &Welcome{Protocol: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	// Field 100 of an instruction is of no version yet.
	unknown := append([]byte{0xa2, 0x06, byte(len(newer))}, newer...)
	var i Instruction
	if err := proto.Unmarshal(unknown, &i); err != nil || i.GetInstruction() != nil {
		t.Errorf("an unknown instruction reads as %v, %v", i.GetInstruction(), err)
	}
}
