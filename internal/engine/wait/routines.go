package wait

import (
	"context"
	"sync"
	"sync/atomic"
)

// Routines are goroutines whose end can be awaited; safe for concurrent use.
type Routines struct {
	mu      sync.Mutex
	running int
	over    bool
	idle    chan struct{} // closed when over and none is running
}

// NewRoutines returns Routines of which none is running.
func NewRoutines() *Routines { return &Routines{idle: make(chan struct{})} }

// Go runs fn in a goroutine, or returns false after End.
func (r *Routines) Go(fn func()) bool {
	if !r.Enter() {
		return false
	}
	go func() {
		defer r.Exit()
		fn()
	}()
	return true
}

// Enter counts a goroutine that ends with Exit, or returns false after End.
func (r *Routines) Enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.running++
	}
	return !r.over
}

// Exit is the end of what Enter counted.
func (r *Routines) Exit() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	if r.over && r.running == 0 {
		close(r.idle)
	}
}

// Over reports that nothing may begin any more.
func (r *Routines) Over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

// End, called once, lets none begin any more. What it returns is closed by the last.
func (r *Routines) End() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.running == 0 {
		close(r.idle)
	}
	return r.idle
}

// Until waits for done, and reports whether that came before ctx ended.
func Until(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// Each calls do for each of n, in order, at most width at a time, and awaits them.
func Each(n, width int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(width, n) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	wg.Wait()
}
