package supervisor

import "sync"

// turns bounds how many servers are started at the same time: fifty at once
// would take longer on two cores than fifty in turn, and starve those that run
// already. A crashed server that comes back takes no turn.
type turns struct {
	most int

	mu      sync.Mutex
	holding map[*server]bool
	queue   []*server // in the order in which they asked
}

func newTurns(most int) *turns { return &turns{most: most, holding: map[*server]bool{}} }

// ask reports whether it is the server's turn. Otherwise its begin is called in
// its own goroutine when it is, unless it ends its turn before.
func (t *turns) ask(v *server) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.holding[v] || len(t.holding) < t.most {
		t.holding[v] = true
		return true
	}
	t.queue = append(t.queue, v)
	return false
}

// end gives a server's turn, or its place in the queue, to the next.
func (t *turns) end(v *server) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.holding, v)
	for i, w := range t.queue {
		if w == v {
			t.queue = append(t.queue[:i:i], t.queue[i+1:]...)
			break
		}
	}
	for len(t.holding) < t.most && len(t.queue) > 0 {
		next := t.queue[0]
		t.queue = t.queue[1:]
		t.holding[next] = true
		go next.post(next.begin) // its inbox may be full, and ours is being emptied by this goroutine
	}
}
