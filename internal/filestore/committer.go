package filestore

import (
	"context"
	"runtime"
	"sync"
	"time"
)

const (
	maxBatch      = 4096     // requests of one commit
	maxBatchBytes = 32 << 20 // of state in one commit of several
	maxScratch    = 8 << 20  // of buffer kept between commits
	idleScratch   = 64 << 10 // of buffer kept while nothing waits
	gatherStep    = 100 * time.Microsecond
	gatherSteps   = 3
	gatherYields  = 200 // in a row, in which nobody came
)

// A committer writes what waits, one commit after the other, in a goroutine that
// runs while something does.
type committer struct {
	s *Store

	mu      sync.Mutex // guards what follows; taken after Store.mu, never before it, and never held during I/O
	queue   []*request
	waiting int                // requests in queue whose callers still wait
	move    *move              // records in a new place, to be published
	running bool               // the goroutine is there
	idle    chan struct{}      // closed when it ends
	giveUp  context.CancelFunc // ends its wait for the writers' lock
	awaited int                // it waits for that many requests, 0 if it does not
	arrived chan struct{}      // closed when they are there

	handed chan struct{} // tells a committer that waits for the cleaner of a move

	// The goroutine's own, from one commit to the next.
	enc     encoder
	ahead   *temporary // for the next commit, nil if there is none
	judging judging
	spare   []*request
}

// add hands r over.
func (c *committer) add(r *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, r)
	c.waiting++
	c.start()
	if c.waiting == c.awaited {
		c.awaited = 0
		close(c.arrived)
	}
}

// publish hands m over.
func (c *committer) publish(m *move) {
	c.mu.Lock()
	c.move = m
	c.start()
	c.mu.Unlock()
	select {
	case c.handed <- struct{}{}:
	default:
	}
}

// start starts the goroutine if there is none. mu is held.
func (c *committer) start() {
	if !c.running {
		c.running, c.idle = true, make(chan struct{})
		go c.run(c.idle)
	}
}

// leave ends the wait for r. A request that still waits is withdrawn. One that
// is being committed goes on, but no longer needs the caller's data.
func (c *committer) leave(ctx context.Context, r *request) (left bool, err error) {
	c.mu.Lock()
	r.left.Store(true)
	b := r.batch
	if b == nil {
		for i := range c.queue {
			if c.queue[i] == r {
				c.queue[i] = nil
				c.waiting--
			}
		}
		if c.waiting == 0 && c.giveUp != nil {
			c.giveUp()
		}
	}
	c.mu.Unlock()
	if b != nil {
		select {
		case err := <-r.done:
			if err != errLeft {
				return true, err
			}
		case <-b.encoded:
		}
	}
	return true, ctx.Err()
}

// fail answers everything that waits.
func (c *committer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.queue {
		if r != nil {
			r.done <- err
		}
	}
	c.queue, c.waiting = nil, 0
	if c.move != nil {
		c.move.done <- err
		c.move = nil
	}
	if c.giveUp != nil {
		c.giveUp()
	}
}

// resting reports that the goroutine is not there.
func (c *committer) resting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.running
}

// wait returns when the goroutine has ended.
func (c *committer) wait() {
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	if idle != nil {
		<-idle
	}
}

// run is the goroutine.
func (c *committer) run(idle chan struct{}) {
	defer close(idle)
	c.convene()
	for c.more() {
		// Before the first commit the store may not be a writer, who alone cleans.
		if answered := c.round(); answered > 0 {
			c.s.cleanIfDue()
			c.gather(answered)
		}
	}
}

// more reports whether there is work. The committer is over when there is none.
func (c *committer) more() bool {
	if c.hasWork() {
		return true
	}
	c.dropAhead()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.works() { // somebody came meanwhile
		return true
	}
	c.enc.trim(idleScratch)
	c.queue, c.running, c.giveUp = c.queue[:0], false, nil
	return false
}

func (c *committer) hasWork() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.works()
}

// works reports whether something waits. mu is held.
func (c *committer) works() bool { return c.waiting > 0 || c.move != nil }

func (c *committer) countWaiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}

// convene lets callers join the first commit who are about to save: while its file
// is created, and if there are any, for as long as they come, but not for longer
// than gather. Without it a checkpoint of few changed components was two or three
// commits, the first of which held a handful.
//
// It yields instead of sleeping, because in a program that is idle a timer of a
// tenth of a millisecond takes a whole one; and the time bounds it too, because
// where the processors are busy two hundred turns may take seconds.
func (c *committer) convene() {
	if c.countWaiting() == 0 {
		return
	}
	c.createAhead()
	most, end := 1, time.Now().Add(gatherSteps*gatherStep)
	for yields := 0; yields < gatherYields && time.Now().Before(end); yields++ {
		waiting := c.countWaiting()
		if waiting < 2 || waiting >= maxBatch {
			return
		}
		if waiting > most {
			most, yields = waiting, 0
		}
		runtime.Gosched()
	}
}

// gather gives the callers whom the last commit answered a moment to come back
// with their next save: far less than the syncs that sharing a commit saves. More
// callers than can come back in that moment do so during the next commit. Where
// more wait already than were answered they do not wait for these: the timer is
// as inexact as convene says.
//
// The next file is created in that moment instead of in the path of its commit.
func (c *committer) gather(answered int) {
	if answered < 2 || c.countWaiting() > answered {
		return
	}
	arrived, before := c.await(answered)
	c.createAhead()
	t := time.NewTimer(gatherStep)
	defer t.Stop()
	for range gatherSteps {
		select {
		case <-arrived:
			return
		case <-t.C:
		}
		now := c.countWaiting()
		if now <= before {
			break // the others do something else
		}
		before = now
		t.Reset(gatherStep)
	}
	c.mu.Lock()
	c.awaited = 0
	c.mu.Unlock()
}

// await returns what is closed when as many more requests wait, and how many
// wait now.
func (c *committer) await(more int) (arrived chan struct{}, waiting int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrived, c.awaited = make(chan struct{}), c.waiting+more
	return c.arrived, c.waiting
}

// round commits what waits, as much as fits into one commit, and returns how many
// callers it answered.
func (c *committer) round() (answered int) {
	if err := c.writable(); err != nil {
		return 0
	}
	c.commitMove()
	b := c.take()
	answered = len(b.reqs)
	if answered > 0 {
		c.commit(b)
	}
	return answered
}

// writable makes the store a writer, or answers everybody who waits with the
// reason why it cannot. It stops trying when nobody waits any more.
func (c *committer) writable() error {
	if c.s.isWriter() {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.mu.Lock()
	c.giveUp = cancel
	c.mu.Unlock()
	err := c.s.becomeWriter(ctx)
	if err != nil && ctx.Err() == nil {
		c.fail(err)
	}
	return err
}

// take takes what waits from the queue, as much as fits into one commit.
func (c *committer) take() *batch {
	b := &batch{encoded: make(chan struct{}), reqs: c.spare}
	c.mu.Lock()
	defer c.mu.Unlock()
	bytes, n := 0, 0
	for _, r := range c.queue {
		if r != nil {
			bytes += len(r.snap.Data)
			if len(b.reqs) == maxBatch || len(b.reqs) > 0 && bytes > maxBatchBytes {
				break
			}
			r.batch = b
			b.reqs = append(b.reqs, r)
		}
		n++
	}
	rest := copy(c.queue, c.queue[n:])
	clear(c.queue[rest:])
	c.queue = c.queue[:rest]
	c.waiting -= len(b.reqs)
	return b
}
