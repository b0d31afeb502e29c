package filestore

import (
	"errors"
	"fmt"

	"github.com/durablestate/durable/internal/vfs"
)

// publish lets write fill a new file and gives it its name once the content is
// durable; the name itself is durable after the next syncDir. The error is
// fs.ErrExist when the name is taken. After any other error of the rename itself
// the file may exist: whoever comes next finds the name taken.
//
// A sync that failed is not tried again, not even by a later call on the same
// file: the kernel marks pages clean that it could not write, and the next sync
// would report success.
func (s *Store) publish(name string, write func(vfs.File) error) error {
	temp, err := s.writeTemp(write)
	if err != nil {
		return err
	}
	return s.name(temp, name)
}

// writeTemp returns a new file under a temporary name whose content is durable.
func (s *Store) writeTemp(write func(vfs.File) error) (temp string, err error) {
	t, err := s.create()
	if err != nil {
		return "", err
	}
	return t.name, s.fill(t, write)
}

// A temporary is a new file under a temporary name.
type temporary struct {
	name string
	file vfs.File
}

func (s *Store) create() (*temporary, error) {
	t := &temporary{name: tempName()}
	s.own(t.name, true)
	var err error
	if t.file, err = s.dir.Create(t.name); err != nil {
		s.own(t.name, false)
		return nil, err
	}
	return t, nil
}

// fill has write write t, whose content is durable then. After an error t is gone.
func (s *Store) fill(t *temporary, write func(vfs.File) error) error {
	err := write(t.file)
	if err == nil {
		err = t.file.Sync()
	}
	if e := t.file.Close(); err == nil {
		err = e // NFS and quotas report a full disk here
	}
	if err != nil {
		s.discard(t.name)
	}
	return err
}

// name gives the file temp its final name, or removes it.
func (s *Store) name(temp, name string) error {
	err := s.dir.Publish(temp, name)
	if err != nil {
		s.discard(temp)
	}
	if err == nil {
		s.own(temp, false)
	}
	return err
}

// own notes that this store is about to publish temp, or not any more: cleaning
// leaves it alone meanwhile.
func (s *Store) own(temp string, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is {
		s.temps[temp] = true
	} else {
		delete(s.temps, temp)
	}
}

// discard removes a temporary that is of no use, now or with the next cleaning.
func (s *Store) discard(temp string) {
	err := s.dir.Remove(temp)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.temps, temp)
	if err != nil {
		s.litter.stray = append(s.litter.stray, temp)
	}
}

// syncDir makes all names durable that existed when it was called. If it fails
// nobody can know which are, and trying again would prove nothing: the store
// takes no more writes until it is opened anew. One waits for the other: the
// kernel may tell of an error only once.
func (s *Store) syncDir() error {
	s.syncing <- struct{}{}
	defer func() { <-s.syncing }()
	s.mu.Lock()
	last, removals, err := s.x.last, s.removals, s.poison
	s.mu.Unlock()
	if err != nil {
		return err
	}
	err = s.dir.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, vfs.ErrSyncUnsupported) && !s.opts.RequireDurable {
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
