package tasks_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/tasks"
)

func TestTheFirstFailureStopsTheRestInReverseOrder(t *testing.T) {
	var order []string
	until := func(name string) tasks.Task {
		return tasks.Task{Name: name, Run: func(ctx context.Context) error {
			<-ctx.Done()
			order = append(order, name)
			return ctx.Err()
		}}
	}
	boom := errors.New("boom")
	err := tasks.Run(context.Background(), until("store"), until("api"),
		tasks.Task{Name: "link", Run: func(context.Context) error { return boom }})
	if !errors.Is(err, boom) || err.Error() != "link: boom" {
		t.Errorf("Run = %v, want link: boom", err)
	}
	if want := []string{"api", "store"}; !reflect.DeepEqual(order, want) {
		t.Errorf("stopped in order %v, want %v", order, want)
	}
}

func TestCancelledRunEndsWithoutError(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	started := make(chan struct{})
	go func() { <-started; cancel() }()
	err := tasks.Run(ctx, tasks.Task{Name: "a", Run: func(ctx context.Context) error {
		close(started)
		<-ctx.Done()
		return ctx.Err()
	}})
	if err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestAFinishedTaskLeavesTheOthersRunning(t *testing.T) {
	goOn := make(chan struct{})
	err := tasks.Run(context.Background(),
		tasks.Task{Name: "once", Run: func(context.Context) error { close(goOn); return nil }},
		tasks.Task{Name: "work", Run: func(ctx context.Context) error { <-goOn; return ctx.Err() }})
	if err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestFailuresWhileStoppingAreKept(t *testing.T) {
	late, boom := errors.New("late"), errors.New("boom")
	err := tasks.Run(context.Background(),
		tasks.Task{Name: "a", Run: func(ctx context.Context) error { <-ctx.Done(); return late }},
		tasks.Task{Name: "b", Run: func(context.Context) error { return boom }})
	if !errors.Is(err, late) || !errors.Is(err, boom) {
		t.Errorf("Run = %v, want both failures", err)
	}
}
