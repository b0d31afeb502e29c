package filestore

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"syscall"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

const (
	maxBatch       = 4096     // requests of one commit
	maxBatchBytes  = 32 << 20 // of state in one commit of several
	maxScratch     = 8 << 20  // of buffer kept between commits
	maxGather      = 200 * time.Microsecond
	maxGatherTries = 1000     // where time stands still
	idleScratch    = 64 << 10 // of buffer kept while nothing waits
)

// run is the committer. It ends when nothing waits.
func (s *Store) run(idle chan struct{}) {
	defer close(idle)
	answered := 0
	for s.someoneWaits() {
		if err := s.writable(); err != nil {
			continue
		}
		s.gather(answered)
		if b := s.take(); len(b.reqs) > 0 {
			s.commit(b)
			answered = len(b.reqs)
			if s.cleaningDue() {
				s.clean()
			}
		}
	}
}

// gather gives the callers whom the last commit answered a moment to come back
// with their next save: far less than the syncs that sharing a commit saves.
func (s *Store) gather(answered int) {
	if answered < 2 {
		return
	}
	start := time.Now()
	for tries, expected := 0, s.countWaiting()+answered; tries < maxGatherTries && time.Since(start) < maxGather; tries++ {
		runtime.Gosched()
		if s.countWaiting() >= expected {
			return
		}
	}
}

func (s *Store) countWaiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// someoneWaits reports whether there is work; otherwise the committer ends.
func (s *Store) someoneWaits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting > 0 {
		return true
	}
	if cap(s.scratch) > idleScratch {
		s.scratch = nil
	}
	s.queue, s.running, s.giveUp = s.queue[:0], false, nil
	return false
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
	b := &batch{encoded: make(chan struct{})}
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
	s.queue = append(s.queue[:0], s.queue[n:]...)
	clear(s.queue[len(s.queue):cap(s.queue)])
	s.waiting -= len(b.reqs)
	return b
}

// commit judges, writes and answers the requests of b.
func (s *Store) commit(b *batch) {
	var e encoder
	e.buf = s.scratch[:0]
	err := s.tryCommit(b, &e)
	if cap(e.buf) <= maxScratch {
		s.scratch = e.buf
	}
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
			err = e.encode(b)
		}
		b.release()
		if err != nil || len(e.entries) == 0 {
			return err
		}
		err = s.write(seq, e)
		if diskFull(err) && !cleaned && s.madeRoom() {
			cleaned = true
			continue
		}
		if !errors.Is(err, fs.ErrExist) {
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
	s.clean()
	return s.countFiles() < before
}

func (s *Store) countFiles() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.x.files)
}

// write publishes what e encoded as the commit seq, and knows of it once it is
// durable.
func (s *Store) write(seq uint64, e *encoder) error {
	c := commit{seq: seq}
	parts, err := e.parts(&c)
	if err != nil {
		return err
	}
	// A commit was judged by those before it, which another process may have
	// published and not yet synced. A crash must not leave it without them.
	if err := s.ensureSynced(seq - 1); err != nil {
		return err
	}
	if err := s.publish(commitName(c.seq), parts...); err != nil {
		return err
	}
	if err := s.syncDir(); err != nil {
		return err
	}
	s.apply(&c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = max(s.synced, c.seq)
	return nil
}

// answer tells the outcome to everybody in b.
func (s *Store) answer(b *batch, err error) {
	for _, r := range b.reqs {
		switch {
		case err != nil && (r.write || r.early || r.outcome == nil):
			r.done <- err
		default:
			r.done <- r.outcome
		}
	}
}

// pending is the state of a component or lease as the requests before it in the
// batch leave it.
type pending struct {
	view
	early bool
}

// judge decides for each request of b, in order, whether it is written. mu is
// held.
func (s *Store) judge(b *batch) {
	comps := make(map[string]*pending, len(b.reqs))
	leases := map[string]bool{}
	for _, r := range b.reqs {
		r.write, r.early, r.outcome = false, false, nil
		if r.kind == envelope.Lease {
			s.judgeLease(r, leases)
			continue
		}
		p := comps[r.id]
		if p == nil {
			p = &pending{view: s.x.view(r.id)}
			comps[r.id] = p
		}
		r.judge(p)
	}
}

func (s *Store) judgeLease(r *request, taken map[string]bool) {
	var prev uint64
	if l := s.x.leases[r.id]; l != nil {
		prev = l.seq
	}
	if r.write = prev == r.prev && !taken[r.id]; !r.write {
		r.outcome = errAgain
		return
	}
	taken[r.id] = true
	r.entry = entry{id: r.id, kind: r.kind, epoch: r.snap.Epoch, version: 1}
}

// judge decides whether r is written after what p tells, and adds it to p.
func (r *request) judge(p *pending) {
	r.early = p.early
	if p.tooNew != nil {
		r.outcome = store.Answer(p.fence, p.tooNew, "")
		return
	}
	switch r.kind {
	case envelope.Snapshot:
		r.judgeSave(p)
	case envelope.Claim:
		r.judgeClaim(p)
	case envelope.Deletion:
		r.judgeDeletion(p)
	}
	if r.write {
		p.early, p.fence = true, store.Fence{Epoch: r.entry.epoch, Version: r.entry.version}
	}
}

func (r *request) judgeSave(p *pending) {
	repeat, err := store.Judge(p.fence, p.last, &r.snap)
	switch {
	case err != nil:
		r.outcome = err
		return
	case repeat && p.early:
		return // shares the outcome of the save that it repeats
	case repeat && !r.again:
		r.outcome = errAgain
		return
	}
	if r.batch.released && r.encoded == (span{}) {
		r.outcome = errAgain // the caller may have taken its data back
		return
	}
	r.write = true
	r.entry = entry{id: r.id, kind: r.kind, epoch: r.snap.Epoch, version: r.snap.Version, writeID: r.snap.WriteID}
	p.last, p.deleted = r.snap.Attempt(), false
}

func (r *request) judgeClaim(p *pending) {
	switch epoch := r.snap.Epoch; {
	case epoch < p.fence.Epoch:
		r.outcome = fenced(p.fence, epoch)
	case epoch > p.fence.Epoch:
		r.write = true
		r.entry = entry{id: r.id, kind: r.kind, epoch: epoch, version: p.fence.Version, deleted: p.deleted}
	case !p.early:
		r.outcome = errAgain
	}
}

func (r *request) judgeDeletion(p *pending) {
	if p.fence != r.expect {
		r.outcome = errAgain
		return
	}
	r.write = true
	r.entry = entry{id: r.id, kind: r.kind, epoch: p.fence.Epoch + 1, version: p.fence.Version}
	p.last, p.deleted = store.Attempt{}, true
}
