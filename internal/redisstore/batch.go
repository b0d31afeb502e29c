package redisstore

import (
	"context"
	"runtime"
	"sync"

	"github.com/durablestate/durable/internal/store"
)

const (
	flights    = 2         // pipelines under way: the server is busy with one while the answers to the other are read
	batchBytes = 256 << 10 // of one pipeline: the server is to have the next one before it is through
	alone      = 64 << 10  // larger jobs travel alone and do not hold up the others
)

// A batcher sends jobs in pipelines, a few at a time: while they are under way
// the next one gathers. There is no timer, and no goroutine when there is no job.
//
// Who finds it idle sends his own job in his own goroutine: handing it over would
// cost more than the round trip. But a cancelled context does not interrupt a
// command in flight, only a deadline does. So a job whose caller set no deadline
// and may cancel, and every job that finds others before it, runs elsewhere. So does
// each job of a client that does not watch deadlines.
type batcher struct {
	run   func([]*job)
	mayDo bool          // a caller may send his own job: the client watches deadlines
	large chan struct{} // bounds the jobs that travel alone

	mu      sync.Mutex
	waiting []*job
	running int // pipelines under way
	closed  bool
	wg      sync.WaitGroup
}

func newBatcher(run func([]*job), mayDo bool) *batcher {
	return &batcher{run: run, mayDo: mayDo, large: make(chan struct{}, 2)}
}

// do returns nil once j has run, and an error when it has not, or may not have.
func (b *batcher) do(ctx context.Context, closing <-chan struct{}, j *job) error {
	ok, lead := b.add(j, b.mayDo && ctx.Value(mayCancel{}) == nil)
	switch {
	case !ok:
		return store.ErrClosed
	case lead:
		defer b.wg.Done()
		j.until, _ = ctx.Deadline()
		b.send([]*job{j})
		b.hand(j)
		return nil
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

// direct sends j in its caller's goroutine, beside what else is under way, and
// reports that it was sent.
func (b *batcher) direct(ctx context.Context, j *job) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.wg.Add(1)
	b.mu.Unlock()
	defer b.wg.Done()
	j.until, _ = ctx.Deadline()
	b.run([]*job{j})
	return true
}

// mayCancel is the key of a context whose caller set no deadline and may cancel.
type mayCancel struct{}

// add takes j in, and reports whether its caller is to send it himself.
func (b *batcher) add(j *job, inline bool) (ok, lead bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false, false
	}
	if inline && b.lead(j) {
		b.wg.Add(1)
		return true, true
	}
	j.done = make(chan struct{})
	switch {
	case j.size > alone:
		b.wg.Go(func() { b.sendAlone(j) })
	case b.running == flights:
		b.waiting = append(b.waiting, j)
	default:
		b.running++
		b.waiting = append(b.waiting, j)
		b.wg.Go(func() { b.drain(nil) })
	}
	return true, false
}

// lead reports whether j need not wait for others, and then holds its place among
// what is under way until hand.
func (b *batcher) lead(j *job) bool {
	if j.size > alone {
		select {
		case b.large <- struct{}{}:
			return true
		default:
			return false
		}
	}
	if b.running > 0 {
		return false
	}
	b.running++
	return true
}

// hand passes on what gathered while a caller sent his own job j.
func (b *batcher) hand(j *job) {
	if j.size > alone {
		<-b.large
		return
	}
	if batch := b.next(); batch != nil {
		b.wg.Go(func() { b.drain(batch) })
	}
}

// leave keeps a job that has not been sent yet from being sent.
func (b *batcher) leave(j *job) {
	b.mu.Lock()
	j.given = true
	b.mu.Unlock()
}

// drain sends batch and then, in turn, what gathers. Callers that can run now,
// many of them woken by the last answers, come in first: a pipeline for one job
// costs as much as one for many.
func (b *batcher) drain(batch []*job) {
	for first := batch == nil; first || batch != nil; first = false {
		b.send(batch)
		runtime.Gosched()
		batch = b.next()
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
	if len(batch) == 0 {
		return
	}
	b.run(batch)
	for _, j := range batch {
		if j.done != nil {
			close(j.done)
		}
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
		b.waiting, b.running = nil, b.running-1
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
