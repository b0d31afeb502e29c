package durable

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff sleeps longer and longer, with decorrelated jitter.
type backoff struct{ last, most time.Duration }

func newBackoff(most time.Duration) *backoff { return &backoff{most: most} }

const shortestSleep = 50 * time.Millisecond

// sleep returns false when ctx ended.
func (b *backoff) sleep(ctx context.Context) bool {
	b.last = min(b.most, jitter(shortestSleep, 3*max(b.last, shortestSleep)))
	return sleep(ctx, b.last)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// jitter returns a random duration between lo and hi.
func jitter(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + rand.N(hi-lo)
}
