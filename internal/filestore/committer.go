package filestore

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"syscall"
	"time"

	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
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

// run is the committer. It ends when nothing waits.
func (s *Store) run(idle chan struct{}) {
	defer close(idle)
	s.convene()
	for s.someoneWaits() {
		s.settle(s.round())
	}
}

// lead is the committer for as long as it takes to answer a caller who waits
// without end, in the caller's goroutine: to hand a save over and to be woken
// again costs some per cent of it. Whatever comes after that is left to another
// one.
func (s *Store) lead(idle chan struct{}) {
	s.convene()
	answered := s.round()
	if answered == 1 && !s.cleaningIsDue() && !s.someoneWaits() {
		close(idle)
		return
	}
	go func() {
		s.settle(answered)
		s.run(idle)
	}()
}

// convene lets callers join the first commit who are about to save: while its file
// is created, and if there are any, for as long as they come, but not for longer
// than gather: where the processors are busy, each turn may take long.
func (s *Store) convene() {
	if s.countWaiting() == 0 {
		return
	}
	s.createAhead()
	most, end := 1, time.Now().Add(gatherSteps*gatherStep)
	for yields := 0; yields < gatherYields && time.Now().Before(end); yields++ {
		waiting := s.countWaiting()
		if waiting < 2 || waiting >= maxBatch {
			return
		}
		if waiting > most {
			most, yields = waiting, 0
		}
		runtime.Gosched()
	}
}

// settle does what comes after a commit, if there was one: before that the store
// may not be a writer.
func (s *Store) settle(answered int) {
	if answered == 0 {
		return
	}
	s.cleanIfDue()
	s.gather(answered)
}

// round commits what waits, as much as fits into one commit, and returns how many
// callers it answered.
func (s *Store) round() (answered int) {
	if err := s.writable(); err != nil {
		return 0
	}
	s.commitMove()
	b := s.take()
	answered = len(b.reqs)
	if answered > 0 {
		s.commit(b)
	}
	return answered
}

// gather gives the callers whom the last commit answered a moment to come back
// with their next save: far less than the syncs that sharing a commit saves. More
// callers than can come back in that moment do so during the next commit. Where
// more wait already than were answered they do not wait for these.
func (s *Store) gather(answered int) {
	if answered < 2 || s.countWaiting() > answered {
		return
	}
	arrived, before := s.await(answered)
	s.createAhead()
	t := time.NewTimer(gatherStep)
	defer t.Stop()
	for range gatherSteps {
		select {
		case <-arrived:
			return
		case <-t.C:
		}
		now := s.countWaiting()
		if now <= before {
			break // the others do something else
		}
		before = now
		t.Reset(gatherStep)
	}
	s.mu.Lock()
	s.awaited = 0
	s.mu.Unlock()
}

// await returns what is closed when as many more requests wait, and how many
// wait now.
func (s *Store) await(more int) (arrived chan struct{}, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived, s.awaited = make(chan struct{}), s.waiting+more
	return s.arrived, s.waiting
}

func (s *Store) countWaiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// someoneWaits reports whether there is work; otherwise the committer ends.
func (s *Store) someoneWaits() bool {
	for {
		works, ended := s.endUnlessNeeded()
		if works || ended {
			return works
		}
		s.dropAhead()
	}
}

// endUnlessNeeded ends the committer if there is no work and nothing to clear
// away first.
func (s *Store) endUnlessNeeded() (works, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting > 0 || s.move != nil {
		return true, false
	}
	if s.ahead != nil {
		return false, false
	}
	s.enc.trim(idleScratch)
	s.queue, s.running, s.giveUp = s.queue[:0], false, nil
	return false, true
}

// writable makes this store a writer, or answers everybody who waits with the
// reason why it cannot. It stops trying when nobody waits any more.
func (s *Store) writable() error {
	s.mu.Lock()
	if s.writer {
		s.mu.Unlock()
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.giveUp = cancel
	s.mu.Unlock()
	defer cancel()
	err := s.becomeWriter(ctx)
	if err != nil && ctx.Err() == nil {
		s.mu.Lock()
		s.failQueue(err)
		s.mu.Unlock()
	}
	return err
}

// take takes what waits from the queue, as much as fits into one commit.
func (s *Store) take() *batch {
	b := &batch{encoded: make(chan struct{}), reqs: s.spare}
	s.mu.Lock()
	defer s.mu.Unlock()
	bytes, n := 0, 0
	for _, r := range s.queue {
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
	rest := copy(s.queue, s.queue[n:])
	clear(s.queue[rest:])
	s.queue = s.queue[:rest]
	s.waiting -= len(b.reqs)
	return b
}

// commit judges, writes and answers the requests of b.
func (s *Store) commit(b *batch) {
	e := &s.enc
	err := s.tryCommit(b, e)
	e.trim(maxScratch)
	s.answer(b, err)
}

func (s *Store) tryCommit(b *batch, e *encoder) error {
	for cleaned := false; ; {
		s.mu.Lock()
		err := s.refusal()
		if err == nil || err == store.ErrClosed { // what was taken before Close is committed
			s.judge(b)
			err = nil
		}
		// What readers find out from here on was not judged: the number must
		// be the one after what was.
		seq := s.x.last + 1
		s.mu.Unlock()
		if err == nil {
			err = e.encode(b, seq)
		}
		if err != nil || len(e.entries) == 0 || !e.streams {
			b.release()
		}
		if err == nil && len(e.entries) > 0 {
			err = s.write(seq, e, b)
		}
		b.release()
		if err != nil && diskFull(err) && !cleaned && s.madeRoom() {
			cleaned = true
			continue
		}
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := s.refresh(context.Background()); err != nil {
			return err
		}
	}
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// madeRoom deletes what nobody needs and reports whether there was any.
func (s *Store) madeRoom() bool {
	before := s.countFiles()
	s.cleanNow()
	return s.countFiles() < before
}

func (s *Store) countFiles() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.x.files)
}

// write publishes what e encoded as the commit seq, and knows of it once it is
// durable.
func (s *Store) write(seq uint64, e *encoder, b *batch) error {
	c := commit{seq: seq, size: e.size, entries: e.entries}
	// A commit was judged by those before it, which another process may have
	// published and not yet synced. A crash must not leave it without them.
	if err := s.ensureSynced(seq - 1); err != nil {
		return err
	}
	t, err := s.takeAhead()
	if err == nil {
		err = s.fill(t, func(f vfs.File) error { return e.writeTo(f, b) })
	}
	if err == nil {
		err = s.name(t.name, commitName(c.seq))
	}
	if err != nil {
		return err
	}
	return s.published(&c)
}

// published makes the name of the commit c durable and adds it to what is known.
func (s *Store) published(c *commit) error {
	if err := s.syncDir(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.x.apply(c)
	s.litter.note(c)
	s.synced = max(s.synced, c.seq)
	return nil
}

// answer tells the outcome to everybody in b. Whoever was told may use its
// request again.
func (s *Store) answer(b *batch, err error) {
	for _, r := range b.reqs {
		out := r.outcome
		if err != nil && (r.write || r.early || out == nil) {
			out = err
		}
		r.done <- out
	}
	clear(b.reqs)
	s.spare = b.reqs[:0]
}
