// Package wait has the ways in which a Checkpointer waits: with backoff until a
// store answers, for goroutines to end, for many calls of which only so many run
// at a time, and under deadlines that many calls share.
package wait

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/durablestate/durable/internal/store"
)

const (
	shortest = 50 * time.Millisecond
	longest  = 5 * time.Second
)

// ForAnswer calls ask until that succeeds or its error is an answer, which asking
// again would not change. In between it sleeps longer and longer, with
// decorrelated jitter, after it has told silent what kept ask from an answer. It
// returns what ask returned last, which is no answer when ctx ended.
func ForAnswer(ctx context.Context, silent func(error), ask func() error) error {
	for last := shortest; ; {
		err := ask()
		if err == nil || store.IsAnswer(err) {
			return err
		}
		silent(err)
		last = min(longest, Jitter(shortest, 3*last))
		if !Sleep(ctx, last) {
			return err
		}
	}
}

// Sleep returns false when ctx ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Jitter returns a random duration between lo and hi.
func Jitter(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + rand.N(hi-lo)
}
