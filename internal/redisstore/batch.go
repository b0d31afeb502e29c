package redisstore

import (
	"context"
	"sync"

	"github.com/durablestate/durable/internal/store"
)

const (
	batchBytes = 1 << 20  // of one pipeline
	alone      = 64 << 10 // larger jobs travel alone and do not hold up the others
)

// A batcher sends jobs in pipelines, one at a time: while one is under way the
// next one gathers. There is no timer, and no goroutine when there is no job. A
// pipeline runs in a goroutine of its own because a cancelled context does not
// interrupt a command in flight, and callers must return soon after theirs ends.
type batcher struct {
	run   func([]*job)
	large chan struct{} // bounds the jobs that travel alone

	mu      sync.Mutex
	waiting []*job
	running bool
	closed  bool
	wg      sync.WaitGroup
}

func newBatcher(run func([]*job)) *batcher {
	return &batcher{run: run, large: make(chan struct{}, 2)}
}

// do returns nil once j has run, and an error when it has not, or may not have.
func (b *batcher) do(ctx context.Context, closing <-chan struct{}, j *job) error {
	if !b.add(j) {
		return store.ErrClosed
	}
	select {
	case <-j.done:
		return nil
	case <-ctx.Done():
		b.leave(j)
		return ctx.Err()
	case <-closing:
		b.leave(j)
		return store.ErrClosed
	}
}

func (b *batcher) add(j *job) bool {
	j.done = make(chan struct{})
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return false
	case j.size > alone:
		b.wg.Go(func() { b.sendAlone(j) })
	case b.running:
		b.waiting = append(b.waiting, j)
	default:
		b.running = true
		b.wg.Go(func() { b.drain(j) })
	}
	return true
}

// leave keeps a job that has not been sent yet from being sent.
func (b *batcher) leave(j *job) {
	b.mu.Lock()
	j.given = true
	b.mu.Unlock()
}

func (b *batcher) drain(first *job) {
	for batch := []*job{first}; batch != nil; batch = b.next() {
		b.send(batch)
	}
}

func (b *batcher) sendAlone(j *job) {
	b.large <- struct{}{}
	defer func() { <-b.large }()
	b.mu.Lock()
	given := j.given
	b.mu.Unlock()
	if !given {
		b.send([]*job{j})
	}
}

func (b *batcher) send(batch []*job) {
	b.run(batch)
	for _, j := range batch {
		close(j.done)
	}
}

// next takes what fits into one pipeline off the queue, nil when nobody waits.
func (b *batcher) next() []*job {
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch []*job
	bytes, n := 0, 0
	for _, j := range b.waiting {
		if len(batch) > 0 && bytes+j.size > batchBytes {
			break
		}
		n++
		if !j.given {
			batch, bytes = append(batch, j), bytes+j.size
		}
	}
	b.waiting = b.waiting[n:]
	if len(batch) == 0 {
		b.waiting, b.running = nil, false
	}
	return batch
}

// close refuses new jobs and waits for those under way.
func (b *batcher) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.wg.Wait()
}
