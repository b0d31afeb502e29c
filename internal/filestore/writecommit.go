package filestore

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// commit judges, writes and answers the requests of b.
func (c *committer) commit(b *batch) {
	err := c.tryCommit(b)
	c.enc.trim(maxScratch)
	c.answer(b, err)
}

func (c *committer) tryCommit(b *batch) error {
	for {
		seq, err := c.prepare(b)
		if err == nil && len(c.enc.entries) > 0 {
			err = c.write(seq, b)
		}
		b.release()
		again, err := c.recover(b, err)
		if !again {
			return err
		}
	}
}

// prepare judges the requests of b and encodes those that are to be written as
// the commit seq.
func (c *committer) prepare(b *batch) (seq uint64, err error) {
	c.s.mu.Lock()
	err = c.s.refusal()
	if errors.Is(err, store.ErrClosed) {
		err = nil // what was taken before Close is committed
	}
	if err == nil {
		c.judge(b)
		// What readers find out from here on was not judged: the number must be the
		// one after what was.
		seq, err = c.s.x.next()
	}
	c.s.mu.Unlock()
	if err == nil {
		err = c.enc.encode(b, seq)
	}
	if err != nil || len(c.enc.entries) == 0 || !c.enc.streams {
		b.release()
	}
	return seq, err
}

// write publishes what is encoded as the commit seq, and the store knows of it
// once it is durable.
func (c *committer) write(seq uint64, b *batch) error {
	s, e := c.s, &c.enc
	// A commit was judged by those before it, which another process may have
	// published and not yet synced. A crash must not leave it without them.
	if err := s.ensureSynced(seq - 1); err != nil {
		return err
	}
	t, err := c.takeAhead()
	if err == nil {
		err = s.fill(t, func(f vfs.File) error { return e.writeTo(f, b) })
	}
	if err == nil {
		if err = s.holds(); err != nil {
			s.discard(t.name)
		}
	}
	if err == nil {
		err = s.name(t.name, commitName(seq))
	}
	if errors.Is(err, fs.ErrNotExist) { // nothing can be created in a directory that was removed
		err = cmp.Or(s.inPlace(), err)
	}
	if err != nil {
		return err
	}
	return s.published(&commit{seq: seq, size: e.size, entries: e.entries})
}

// recover reports whether b is worth another try after err: somebody else took
// its number, and what he committed is known now, or there is room on the disk
// again. Otherwise it returns the error that b is answered with.
func (c *committer) recover(b *batch, err error) (again bool, _ error) {
	switch {
	case errors.Is(err, fs.ErrExist):
		err = c.s.refresh(context.Background())
		return err == nil, err
	case errors.Is(err, errUnlocked):
		err = c.s.relock(context.Background())
		return err == nil, err
	case diskFull(err) && !b.cleaned && c.madeRoom():
		b.cleaned = true
		return true, nil
	}
	return false, err
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// madeRoom deletes what nobody needs and reports whether there was any.
func (c *committer) madeRoom() bool {
	before := c.s.countFiles()
	c.s.cleanNow()
	return c.s.countFiles() < before
}

func (s *Store) countFiles() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.x.files)
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
func (c *committer) answer(b *batch, err error) {
	for _, r := range b.reqs {
		out := r.outcome
		if err != nil && (r.write || r.early || out == nil) {
			out = err
		}
		r.done <- out
	}
	clear(b.reqs)
	c.spare = b.reqs[:0]
}

// createAhead creates the temporary of the next commit while its callers come
// back. That it fails is for the commit to find out.
func (c *committer) createAhead() {
	c.s.mu.Lock()
	able := c.s.writer && c.s.poison == nil // or others may take it for litter
	c.s.mu.Unlock()
	if able && c.ahead == nil {
		c.ahead, _ = c.s.create()
	}
}

// takeAhead returns the temporary that was created ahead, or a new one.
func (c *committer) takeAhead() (*temporary, error) {
	if t := c.ahead; t != nil {
		c.ahead = nil
		return t, nil
	}
	return c.s.create()
}

// dropAhead removes the temporary that was created ahead, if there is one.
func (c *committer) dropAhead() {
	if t := c.ahead; t != nil {
		c.ahead = nil
		_ = t.file.Close() // it is empty
		c.s.discard(t.name)
	}
}

// commitMove publishes the move that waits, if there is one.
func (c *committer) commitMove() {
	c.mu.Lock()
	m := c.move
	c.move = nil
	c.mu.Unlock()
	if m != nil {
		m.done <- c.s.tryMove(m)
	}
}
