package filestore

import (
	"errors"
	"fmt"

	"github.com/durablestate/durable/internal/vfs"
)

// publish writes parts to a new file and gives it its name once the content is
// durable; the name itself is durable after the next syncDir. The error is
// fs.ErrExist when the name is taken. After any other error of the rename itself
// the file may exist: whoever comes next finds the name taken.
//
// A sync that failed is not tried again, not even by a later call on the same
// file: the kernel marks pages clean that it could not write, and the next sync
// would report success.
func (s *Store) publish(name string, parts ...[]byte) error {
	temp := tempName()
	f, err := s.dir.Create(temp)
	if err != nil {
		return err
	}
	err = writeAll(f, parts)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e // NFS and quotas report a full disk here
	}
	if err == nil {
		err = s.dir.Publish(temp, name)
	}
	if err != nil {
		s.discard(temp)
	}
	return err
}

func writeAll(f vfs.File, parts [][]byte) error {
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// discard removes a temporary that is of no use, now or with the next cleaning.
func (s *Store) discard(temp string) {
	if s.dir.Remove(temp) != nil {
		s.mu.Lock()
		s.litter.stray = append(s.litter.stray, temp)
		s.mu.Unlock()
	}
}

// syncDir makes all names durable that existed when it was called. If it fails
// nobody can know which are, and trying again would prove nothing: the store
// takes no more writes until it is opened anew.
func (s *Store) syncDir() error {
	s.mu.Lock()
	last, removals, err := s.x.last, s.removals, s.poison
	s.mu.Unlock()
	if err != nil {
		return err
	}
	err = s.dir.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, vfs.ErrSyncUnsupported) {
		s.degraded, err = true, nil
	}
	if err != nil {
		s.poison = fmt.Errorf("the outcome of an earlier write is unknown, open the directory again: %w", err)
		return err
	}
	s.synced = max(s.synced, last)
	s.removalsSynced = max(s.removalsSynced, removals)
	return nil
}

// ensureSynced makes the name of the commit seq durable, if another process may
// have published it without having done so yet.
func (s *Store) ensureSynced(seq uint64) error {
	s.mu.Lock()
	done, err := s.synced >= seq, s.poison
	s.mu.Unlock()
	if done || err != nil {
		return err
	}
	return s.told(s.syncDir())
}
