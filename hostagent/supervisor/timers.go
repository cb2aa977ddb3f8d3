package supervisor

import (
	"context"
	"time"
)

// after has f run in d, unless its list is ended before.
func (v *server) after(list *[]context.CancelFunc, d time.Duration, f func()) {
	ctx, cancel := context.WithCancel(context.Background())
	*list = append(*list, cancel)
	t := v.config.Clock.NewTimer(d)
	go func() {
		defer t.Stop()
		select {
		case <-t.C:
			v.post(func() {
				if ctx.Err() == nil {
					cancel()
					f()
				}
			})
		case <-ctx.Done():
		}
	}()
}

// every has f run each d until the returned function is called.
func (v *server) every(d time.Duration, f func()) context.CancelFunc {
	ctx, cancel := context.WithCancel(context.Background())
	t := v.config.Clock.NewTicker(d)
	go func() {
		defer t.Stop()
		for {
			select {
			case <-t.C:
				v.post(func() {
					if ctx.Err() == nil {
						f()
					}
				})
			case <-ctx.Done():
				return
			}
		}
	}()
	return cancel
}

// endAll ends the timers of a list.
func (v *server) endAll(list *[]context.CancelFunc) {
	for _, cancel := range *list {
		cancel()
	}
	*list = nil
}
