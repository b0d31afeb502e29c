package filestore

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// refresh brings the index up to date with what other processes committed. A
// writer only needs to look for the next number: while it holds the writers' lock
// nothing is deleted but what it had seen to be superseded. Others list the directory when it has changed.
func (s *Store) refresh(ctx context.Context) error {
	if err := s.acquireIO(ctx); err != nil {
		return err
	}
	defer func() { <-s.io }()
	if err := s.inPlace(); err != nil {
		return err
	}
	if s.isWriter() {
		return s.told(s.follow(ctx))
	}
	if s.unchanged() {
		return ctx.Err()
	}
	return s.told(s.rescan(ctx))
}

// settled is the age above which the time of a change of the directory is
// unique: another change would have left a later one, however coarse the clock.
const settled = 3 * time.Second

// unchanged reports whether no name has come or gone since the last scan.
func (s *Store) unchanged() bool {
	return s.unchangedSince(s.scanned)
}

// unchangedSince reports whether the directory last changed at mod, which is zero
// if that is not certain.
func (s *Store) unchangedSince(mod time.Time) bool {
	if mod.IsZero() {
		return false
	}
	now, err := s.dir.ModTime()
	return err == nil && now.Equal(mod)
}

// follow reads the commits that come after the last known one.
func (s *Store) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		next, err := store.Next("commit", s.lastCommit())
		if err != nil {
			return nil // nothing can follow
		}
		c, err := readCommit(s.dir, next)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		s.apply(&c)
	}
	return ctx.Err()
}

func (s *Store) lastCommit() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.x.last
}

func (s *Store) apply(c *commit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.x.apply(c)
	s.litter.note(c)
}

// rescan lists the directory and reads the commits that it does not know. What
// vanishes between the listing and the reading was superseded: it lists again,
// unless that lists what vanished. Who deletes begins with the oldest, which is
// also what is read first, so that the two may meet many times.
func (s *Store) rescan(ctx context.Context) error {
	var gone string
	for try := 1; ; try++ {
		err := s.scanOnce(ctx)
		var path *fs.PathError
		if ctx.Err() != nil || !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &path) {
			return err
		}
		if path.Path != gone {
			gone, try = path.Path, 1
		}
		if try == 3 {
			return err
		}
	}
}

func (s *Store) scanOnce(ctx context.Context) error {
	s.scanned = time.Time{}
	mod, err := s.dir.ModTime()
	if err != nil {
		return err
	}
	if time.Since(mod) < settled {
		mod = time.Time{}
	}
	last := s.lastCommit()
	found, err := s.list(last, mod)
	if err != nil {
		return err
	}
	if len(found.commits) > 0 && !found.format && s.format == nil {
		return errNoFormat
	}
	if found.format {
		if err := s.knowFormat(); err != nil {
			return err
		}
	}
	for _, seq := range found.commits {
		if seq <= last {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := readCommit(s.dir, seq)
		if err != nil {
			return err
		}
		s.apply(&c)
	}
	s.scanned = mod
	s.mu.Lock()
	defer s.mu.Unlock()
	// A number that was ever used is never used again.
	s.x.last = max(s.x.last, found.quarantined)
	s.litter.stray = found.stray
	return nil
}

// inPlace returns the error of a directory that is not where it was: a store that
// went on with it would acknowledge what nobody finds again. No waiting cures that.
func (s *Store) inPlace() error {
	err := s.dir.InPlace()
	if errors.Is(err, vfs.ErrMoved) {
		err = store.MarkPermanent(err)
	}
	return s.told(err)
}
