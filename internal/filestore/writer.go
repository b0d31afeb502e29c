package filestore

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// maxLockWait is the longest pause between two tries to take the writers' lock,
// which is only ever held against us while another process deletes files.
const maxLockWait = 50 * time.Millisecond

// becomeWriter takes the writers' lock and reads all commits under it, unless
// that was done before. From then on no number that follows can be missing.
func (s *Store) becomeWriter(ctx context.Context) error {
	for wait := time.Millisecond; ; wait = min(2*wait, maxLockWait) {
		ok, err := s.tryWriter(ctx)
		if ok || err != nil {
			return s.told(err)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

func (s *Store) tryWriter(ctx context.Context) (bool, error) {
	s.mu.Lock()
	writer, err := s.writer, s.refusal()
	s.mu.Unlock()
	if writer || err != nil {
		return writer, err
	}
	if err := s.acquireIO(ctx); err != nil {
		return false, err
	}
	defer func() { <-s.io }()
	if ok, err := s.lockShared(); !ok || err != nil {
		return false, err
	}
	if err := s.rescan(ctx); err != nil {
		return false, err
	}
	if err := s.ensureFormat(); err != nil {
		return false, err
	}
	s.mu.Lock()
	s.writer = true
	s.mu.Unlock()
	return true, nil
}

// lockShared takes the writers' lock together with others. A lock file that has
// lost its name is opened anew: others lock the one that has it. The caller holds
// io.
func (s *Store) lockShared() (bool, error) {
	if s.lock != nil {
		here, err := s.lock.InPlace()
		if err != nil {
			return false, err
		}
		if !here {
			s.unlock()
		}
	}
	if s.lock == nil {
		l, err := s.dir.OpenLock(lockName, true)
		if err != nil {
			return false, err
		}
		s.lock = l
		s.gaps.Store(!l.Atomic())
	}
	return s.lock.Shared()
}

// unlock gives the writers' lock up. The caller holds io.
func (s *Store) unlock() {
	s.setWriter(false)
	_ = s.lock.Close() // it is over in any case
	s.lock = nil
}

// errUnlocked: the writers' lock is on a file that lost its name, or FORMAT is gone.
var errUnlocked = errors.New("filestore: the lock file or the FORMAT file was removed")

// holds returns why nothing may be published: the directory is not in its place,
// or the writers' lock keeps nobody off. Only the committer of a writer calls it,
// whom nobody takes the lock away from meanwhile.
func (s *Store) holds() error {
	err := s.inPlace()
	if err != nil {
		return err
	}
	here, err := s.lock.InPlace()
	if err == nil && here {
		if _, err = s.dir.Size(formatName); errors.Is(err, fs.ErrNotExist) {
			here, err = false, nil
		}
	}
	if err == nil && !here {
		err = errUnlocked
	}
	return s.told(err)
}

// relock makes the store a writer again after errUnlocked.
func (s *Store) relock(ctx context.Context) error {
	s.setWriter(false)
	return s.becomeWriter(ctx)
}

// resign gives the writers' lock back, so that others can delete, unless the store
// has a use for it: it owns a lease, or something is under way. Who was refused a
// lease, or lost it, calls this: a standby may wait for weeks, and asks again.
func (s *Store) resign() {
	if s.acquireIO(context.Background()) != nil {
		return
	}
	defer func() { <-s.io }()
	s.mu.Lock()
	idle := s.writer && !s.closed && s.owning == 0 && len(s.held) == 0 && s.cleaning == nil && s.committer.resting()
	if idle {
		s.writer = false
	}
	s.mu.Unlock()
	if idle && s.lock != nil {
		s.unlock()
	}
}
