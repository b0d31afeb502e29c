package filestore

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/durablestate/durable/internal/envelope"
)

// Deleting is spread over commits: every cleanEvery of them, or every cleanBytes
// written, or soon after a deletion. It happens beside them, in a goroutine that
// ends when it is done. Only when maxGarbage files wait for it commits wait too.
const (
	cleanEvery = 32
	cleanBytes = 32 << 20
	maxGarbage = 4096
	maxRemoved = 64 // files removed while others cannot write
)

// litter is what cleaning may be due for.
type litter struct {
	files  int   // commits since the last cleaning
	bytes  int64 // and their size
	urgent bool
	stray  []string // temporaries and lock files of leases that were seen
}

// note counts the commit c.
func (l *litter) note(c *commit) {
	l.files++
	l.bytes += c.size
	for i := range c.entries {
		l.urgent = l.urgent || c.entries[i].kind == envelope.Deletion
	}
}

// cleanIfDue is called by the committer between commits.
func (s *Store) cleanIfDue() {
	s.mu.Lock()
	l, running := &s.litter, s.cleaning
	due := s.due()
	behind := l.files >= maxGarbage
	if due && running == nil && !s.serial() && !s.closed {
		s.cleaning = make(chan struct{})
		go s.runCleaner(s.cleaning)
	}
	s.mu.Unlock()
	if due && s.serial() {
		s.clean()
	}
	if behind {
		s.awaitCleaner(running)
	}
}

// due reports that there is enough to clean up. mu is held.
func (s *Store) due() bool {
	l := &s.litter
	return l.urgent || l.files >= s.opts.CleanEvery || l.bytes >= cleanBytes
}

// awaitCleaner waits for the cleaner, if one is running, and publishes what it
// moves: only the committer, which calls this, can.
func (s *Store) awaitCleaner(running chan struct{}) {
	for running != nil {
		select {
		case <-running:
			running = nil
		case <-s.committer.handed:
			s.committer.commitMove()
		}
	}
}

// cleanNow cleans, and returns when that is done. Only the committer calls it.
func (s *Store) cleanNow() {
	if s.serial() {
		s.clean()
		return
	}
	s.mu.Lock()
	running := s.cleaning
	if running == nil && !s.closed {
		running = make(chan struct{})
		s.cleaning = running
		go s.runCleaner(running)
	}
	s.mu.Unlock()
	s.awaitCleaner(running)
}

// serial reports whether cleaning waits for the committer: where a lock cannot
// become exclusive without being given up, nothing may be committed meanwhile.
func (s *Store) serial() bool { return s.opts.Serial || s.gaps.Load() }

// runCleaner is the cleaner.
func (s *Store) runCleaner(done chan struct{}) {
	defer close(done)
	s.clean()
	s.mu.Lock()
	s.cleaning = nil
	s.mu.Unlock()
}

// clean deletes what nobody needs any more, if this store is the only writer.
// Only the cleaner calls it, and where there is none the committer, and Close
// after them. Failures do no harm: it is tried again after more commits.
func (s *Store) clean() {
	s.mu.Lock()
	l := &s.litter
	l.files, l.bytes, l.urgent = 0, 0, false
	able := s.writer && s.poison == nil
	s.mu.Unlock()
	if !able {
		return
	}
	s.trim()
	s.compact()
	for s.removeSome() {
	}
}

// removeSome removes a part of the garbage, the oldest first, and reports
// whether there is more to do.
func (s *Store) removeSome() bool {
	s.mu.Lock()
	s.x.exhume()
	slices.SortFunc(s.x.garbage, bySeq)
	last := s.x.last
	garbage := slices.Clone(s.x.garbage[:min(len(s.x.garbage), maxRemoved)])
	if n := len(garbage); n > 0 && garbage[n-1].seq == last { // it shows that its number was used
		garbage = garbage[:n-1]
	}
	nothing := len(garbage) == 0 && len(s.litter.stray) == 0
	s.mu.Unlock()
	// What supersedes a file must be durable before the file goes.
	if nothing || s.ensureSynced(last) != nil {
		return false
	}
	return s.removeAlone(garbage) && len(garbage) > 0
}

// removeAlone removes garbage after a moment in which no other store held the
// writers' lock: one that has not seen the latest commits must find them under their
// numbers. It reports whether it succeeded.
func (s *Store) removeAlone(garbage []*file) (ok bool) {
	s.io <- struct{}{}
	defer func() { <-s.io }()
	if s.lock == nil {
		return false
	}
	atomic := s.lock.Atomic()
	if !atomic {
		s.setWriter(false) // another may write and delete in between
	}
	if ok, err := s.lock.Exclusive(); !ok || err != nil {
		return false
	}
	if here, err := s.lock.InPlace(); !here || err != nil {
		return false // others lock another file: the next commit notices
	}
	if !atomic {
		if s.rescan(context.Background()) == nil {
			ok = s.removeGarbage(garbage)
			s.removeStray()
		}
	}
	// Whoever becomes a writer from now on sees what supersedes the garbage. The lock
	// is not held longer: a process that is frozen with it would keep successors off.
	if back, err := s.lock.Shared(); !back || err != nil {
		s.setWriter(false)
		return false
	}
	if atomic {
		ok = s.removeGarbage(garbage)
		s.removeStray()
	}
	return ok
}

func (s *Store) isWriter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writer
}

func (s *Store) setWriter(w bool) {
	s.mu.Lock()
	s.writer = w
	s.mu.Unlock()
}

// removeGarbage stops at the first failure.
func (s *Store) removeGarbage(garbage []*file) bool {
	for _, f := range garbage {
		if s.removeCommit(f) != nil {
			return false
		}
	}
	return true
}

// removeCommit removes the file f. A deletion goes durably after what it
// deleted: a crash must not bring that back.
func (s *Store) removeCommit(f *file) (err error) {
	s.mu.Lock()
	rotten, wait := f.rotten, f.deletion && s.removals > s.removalsSynced
	s.mu.Unlock()
	if wait {
		if err := s.syncDir(); err != nil {
			return err
		}
	}
	name := commitName(f.seq)
	if rotten {
		err = s.dir.Rename(name, quarantinePrefix+name)
	} else {
		err = s.dir.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removals++
	s.x.forget(f)
	return nil
}

// forget removes what is known of the file f, which is garbage.
func (x *index) forget(f *file) {
	if i := slices.Index(x.garbage, f); i >= 0 {
		x.garbage = slices.Delete(x.garbage, i, i+1)
	}
	delete(x.files, f.seq)
	x.size -= f.size
}

// removeStray removes temporaries, which nobody else can be writing while this
// store is alone, and lock files that nobody holds.
func (s *Store) removeStray() {
	s.mu.Lock()
	stray := s.litter.stray
	s.litter.stray = nil
	stray = slices.DeleteFunc(stray, func(name string) bool { return s.temps[name] })
	s.mu.Unlock()
	var held []string // or being asked about at this moment
	for _, name := range stray {
		if strings.HasPrefix(name, tempPrefix) || s.leaseFileFree(name) {
			_ = s.dir.Remove(name) // listed again at the next opening
		} else {
			held = append(held, name)
		}
	}
	s.mu.Lock()
	s.litter.stray = append(s.litter.stray, held...)
	s.mu.Unlock()
}
