package durable_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/durablestate/durable"
)

// seen is the state.
type seen struct{ Words map[string]int }

// InitState is called before first use and after every restore.
func (s *seen) InitState() {
	if s.Words == nil {
		s.Words = map[string]int{}
	}
}

// Counter is a component with state.
type Counter struct {
	durable.StatefulComponent[seen]
}

func (c *Counter) Count(word string) {
	c.Update(func(s *seen) { s.Words[word]++ })
}

// live is the life of one process.
func live(ctx context.Context, store durable.StateAdapter, words ...string) error {
	counter := &Counter{}
	cp := durable.New(store, &durable.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := cp.Register("word_counter", counter); err != nil {
		return err
	}
	report, err := cp.Restore(ctx) // after set-up, before any processing
	if err != nil {
		return errors.Join(err, cp.Close()) // state exists but could not be used: do not run
	}
	if err := cp.Start(); err != nil { // periodic checkpoints from here on
		return errors.Join(err, cp.Close())
	}
	for _, word := range words {
		counter.Count(word)
	}
	result, _ := report.Component("word_counter")
	counter.View(func(s *seen) { fmt.Println(result.Outcome, s.Words) })
	return cp.Close() // workers are quiet: final checkpoint
}

// A component keeps its state from one process to the next.
func Example() {
	store := durable.NewMemoryAdapter(nil) // LoadConfig opens Redis or files
	ctx := context.Background()
	if err := live(ctx, store, "hello", "world"); err != nil {
		fmt.Println(err)
	}
	if err := live(ctx, store, "hello"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// first-boot map[hello:1 world:1]
	// restored map[hello:2 world:1]
}
