package caches

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestPlansKeepEveryCopyThatIsLeft walks through random joins, losses and
// arrivals and holds what every placement must.
func TestPlansKeepEveryCopyThatIsLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		owners := rapid.IntRange(1, 3).Draw(t, "owners")
		base := &placement{}
		alive := []peer{{Name: "m0", Born: 1}}
		arrived := map[arrival]bool{}
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			before := slices.Clone(alive)
			switch {
			case len(alive) < 2 || rapid.Bool().Draw(t, "joins"):
				alive = append(slices.Clone(alive), peer{Name: fmt.Sprint("m", step+1), Born: int64(step + 2)})
			default:
				i := rapid.IntRange(0, len(alive)-1).Draw(t, "lost")
				alive = slices.Delete(slices.Clone(alive), i, i+1)
			}
			next, changed := plan(base, planInput{coordinator: alive[0].Name, owners: owners, alive: alive, arrived: arrived})
			if !changed || next.Epoch <= base.Epoch {
				t.Fatalf("from %v to %v: changed %v, epoch %d after %d", before, alive, changed, next.Epoch, base.Epoch)
			}
			checkPlan(t, base, next, owners)
			base = next
			if rapid.Bool().Draw(t, "all arrive") {
				base = arriveAll(t, base, alive, owners)
			}
		}
		base = arriveAll(t, base, alive, owners)
		for s, own := range base.Segments {
			if len(own.Owners) != min(owners, len(alive)) || len(own.Joiners) != 0 {
				t.Fatalf("segment %d at rest: %+v, %d members", s, own, len(alive))
			}
		}
	})
}

// arriveAll goes on until nothing is left to do.
func arriveAll(t *rapid.T, base *placement, alive []peer, owners int) *placement {
	for range 3 {
		arrived := map[arrival]bool{}
		for s, own := range base.Segments {
			for _, j := range own.Joiners {
				m := base.Members[j.Peer]
				arrived[arrival{s, m.Name, m.Born, j.Since}] = true
			}
		}
		next, changed := plan(base, planInput{coordinator: alive[0].Name, owners: owners, alive: alive, arrived: arrived})
		if !changed {
			return base
		}
		checkPlan(t, base, next, owners)
		base = next
	}
	t.Fatal("placements go on changing though nothing happens")
	return nil
}

func checkPlan(t *rapid.T, base, next *placement, owners int) {
	for s, own := range next.Segments {
		was := base.Segments[s]
		survives := false
		for _, o := range was.Owners {
			survives = survives || slices.ContainsFunc(next.Members, base.Members[o].same)
		}
		primary := next.Members[own.Owners[0]]
		wasOwner := slices.ContainsFunc(was.Owners, func(o int) bool { return base.Members[o].same(primary) })
		wasJoiner := slices.ContainsFunc(was.Joiners, func(j joiner) bool { return base.Members[j.Peer].same(primary) })
		switch {
		case survives && !wasOwner && !wasJoiner:
			t.Fatalf("segment %d: %s is primary without a copy, an owner survives", s, primary.Name)
		case len(own.Owners)+len(own.Joiners) < min(owners, len(next.Members)):
			t.Fatalf("segment %d: %+v, want %d copies under way", s, own, owners)
		case len(was.Owners) > 0 && !base.Members[was.Owners[0]].same(primary) && own.Since != next.Epoch:
			t.Fatalf("segment %d: a new primary since %d, want %d", s, own.Since, next.Epoch)
		}
	}
}

// A member that joins takes its share and moves nothing else (rendezvous).
func TestAJoiningMemberMovesOnlyItsShare(t *testing.T) {
	three := []peer{{Name: "host1.server-one"}, {Name: "host2.server-two"}, {Name: "host3.server-three"}}
	four := append(slices.Clone(three), peer{Name: "host4.server-four"})
	load := make([]int, 4)
	for s := range segments {
		now, then := ranked(three, s, 2), ranked(four, s, 2)
		for _, o := range then {
			load[o]++
			if o != 3 && !slices.Contains(now, o) {
				t.Errorf("segment %d moved to %d, which did not join", s, o)
			}
		}
	}
	for i, n := range load {
		if n < 85 || n > 175 {
			t.Errorf("member %d holds %d of 512 copies, want about 128", i, n)
		}
	}
}
