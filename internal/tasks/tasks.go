// Package tasks runs the parts of one process together: each is a
// Run(ctx) error, the first to fail stops the rest, and they stop in the
// reverse of the order they were given. It knows no product noun.
package tasks

import (
	"context"
	"errors"
	"fmt"
)

// Task is one part of a process. Run returns when ctx ends or the part fails;
// returning nil before ctx ends means the part has finished its work and the
// others go on.
type Task struct {
	Name string
	Run  func(ctx context.Context) error
}

// Run starts the tasks in order and waits until all have ended. When ctx ends
// or a task fails, the tasks are stopped one at a time, last first: each is
// done before the one it may rest on is told. The result is the first failure,
// with the task's name, joined by failures while stopping.
func Run(ctx context.Context, list ...Task) error {
	type running struct {
		cancel context.CancelFunc
		done   chan error
	}
	// The tasks' contexts carry ctx's values but not its end: Run ends them in order.
	base := context.WithoutCancel(ctx)
	failed := make(chan struct{}, len(list))
	ended := make(chan struct{}, len(list))
	parts := make([]running, 0, len(list))
	for _, task := range list {
		taskCtx, cancel := context.WithCancel(base)
		part := running{cancel: cancel, done: make(chan error, 1)}
		parts = append(parts, part)
		go func() {
			err := run(taskCtx, task)
			part.done <- err
			if err != nil {
				failed <- struct{}{}
			}
			ended <- struct{}{}
		}()
	}
	for left := len(list); left > 0; {
		select {
		case <-ctx.Done():
			left = 0
		case <-failed:
			left = 0
		case <-ended:
			left--
		}
	}
	var errs []error
	for i := len(parts) - 1; i >= 0; i-- {
		var err error
		select {
		case err = <-parts[i].done: // ended before it was told to
		default:
			parts[i].cancel()
			err = <-parts[i].done
		}
		parts[i].cancel()
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func run(ctx context.Context, task Task) error {
	err := task.Run(ctx)
	if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return fmt.Errorf("%s: %w", task.Name, err)
}
