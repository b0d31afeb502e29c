package filestore

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// Deleting is spread over commits: every cleanEvery of them, or every cleanBytes
// written, or soon after a deletion.
const (
	cleanEvery = 32
	cleanBytes = 16 << 20
	maxRemoved = 1024 // files removed while others cannot write
	maxAside   = 16   // files kept aside
)

// litter is what cleaning may be due for.
type litter struct {
	files  int   // commits since the last cleaning
	bytes  int64 // and their size
	urgent bool
	stray  []string // temporaries and lock files of leases that were seen
	aside  []string // files set aside, oldest first
}

// note counts the commit c.
func (l *litter) note(c *commit) {
	l.files++
	l.bytes += c.size
	for i := range c.entries {
		l.urgent = l.urgent || c.entries[i].kind == envelope.Deletion
	}
}

func (s *Store) cleaningDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.litter
	return l.urgent || l.files >= cleanEvery || l.bytes >= cleanBytes
}

// clean deletes what nobody needs any more, if this store is the only writer.
// Only the committer calls it, and Close after it. Failures do no harm: it is
// tried again after more commits.
func (s *Store) clean() {
	s.mu.Lock()
	l := &s.litter
	l.files, l.bytes, l.urgent = 0, 0, false
	able := s.writer && s.poison == nil
	over := slices.Collect(maps.Keys(s.x.over))
	last := s.x.last
	s.mu.Unlock()
	if !able {
		return
	}
	v := verifier{s: s, files: map[uint64]vfs.File{}}
	for _, id := range over {
		v.trim(id)
	}
	v.close()
	s.mu.Lock()
	nothing := len(s.x.garbage) == 0 && len(l.stray) == 0
	s.mu.Unlock()
	// What supersedes a file must be durable before the file goes.
	if nothing || s.ensureSynced(last) != nil {
		return
	}
	s.removeAlone()
}

// removeAlone removes garbage if no other store holds the writers' lock: one
// that has not seen the latest commits must find them under their numbers.
func (s *Store) removeAlone() {
	s.io <- struct{}{}
	defer func() { <-s.io }()
	atomic := s.lock.Atomic()
	if !atomic {
		s.setWriter(false) // another may write and delete in between
	}
	if ok, err := s.lock.Exclusive(); !ok || err != nil {
		return
	}
	if atomic || s.rescan(context.Background()) == nil {
		s.removeGarbage()
		s.removeStray()
	}
	if ok, err := s.lock.Shared(); !ok || err != nil {
		s.setWriter(false)
	}
}

func (s *Store) setWriter(w bool) {
	s.mu.Lock()
	s.writer = w
	s.mu.Unlock()
}

// removeGarbage removes the oldest files first and stops at the first failure.
func (s *Store) removeGarbage() {
	left := maxRemoved
	for garbage := s.garbage(left); len(garbage) > 0; garbage = s.garbage(left) {
		for _, seq := range garbage {
			if s.removeCommit(seq) != nil {
				return
			}
			left--
		}
	}
	s.trimAside()
}

// garbage returns the oldest files to remove, at most n.
func (s *Store) garbage(n int) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.x.exhume()
	slices.Sort(s.x.garbage)
	s.litter.urgent = len(s.x.garbage) > n
	return slices.Clone(s.x.garbage[:min(n, len(s.x.garbage))])
}

// removeCommit removes the oldest garbage, of number seq. A deletion goes
// durably after what it deleted: a crash must not bring that back.
func (s *Store) removeCommit(seq uint64) (err error) {
	s.mu.Lock()
	f, unsynced := *s.x.files[seq], s.removals > s.removalsSynced
	s.mu.Unlock()
	if f.deletion && unsynced {
		if err := s.syncDir(); err != nil {
			return err
		}
	}
	name := commitName(seq)
	if f.rotten {
		err = s.dir.Rename(name, quarantinePrefix+name)
	} else {
		err = s.dir.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.rotten {
		s.litter.aside = append(s.litter.aside, quarantinePrefix+name)
	}
	s.removals++
	s.x.garbage = s.x.garbage[1:]
	delete(s.x.files, seq)
	return nil
}

// trimAside keeps the newest of the files set aside.
func (s *Store) trimAside() {
	s.mu.Lock()
	n := max(0, len(s.litter.aside)-maxAside)
	old := slices.Clone(s.litter.aside[:n])
	s.litter.aside = slices.Delete(s.litter.aside, 0, n)
	s.mu.Unlock()
	for _, name := range old {
		_ = s.dir.Remove(name) // listed again at the next opening
	}
}

// removeStray removes temporaries, which nobody can be writing while this store
// is alone, and lock files that nobody holds.
func (s *Store) removeStray() {
	s.mu.Lock()
	stray := s.litter.stray
	s.litter.stray = nil
	s.mu.Unlock()
	for _, name := range stray {
		if strings.HasPrefix(name, tempPrefix) || s.leaseFileFree(name) {
			_ = s.dir.Remove(name) // listed again at the next opening
		}
	}
}

// A verifier reads generations back. Those of a bundle share one open file.
type verifier struct {
	s     *Store
	files map[uint64]vfs.File
}

const maxVerifierFiles = 8

// trim forgets the generations of id beyond those that are kept. One that does
// not verify does not count.
func (v *verifier) trim(id string) {
	known := v.s.known(id)
	n, i := 0, len(known.gens)-1
	for ; i >= 0; i-- {
		switch v.verdict(id, &known.gens[i]) {
		case good:
			n++
		case unread:
			return
		}
		if n == v.s.opts.Keep {
			break
		}
	}
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	c := v.s.x.comps[id]
	if i > 0 {
		oldest := known.gens[i].place
		v.s.x.drop(c, max(0, slices.IndexFunc(c.gens, func(g gen) bool { return g.place == oldest })))
	}
	if len(c.gens) <= v.s.opts.Keep {
		delete(v.s.x.over, id)
	}
}

// verdict tells whether g verifies, unread when that cannot be found out now.
func (v *verifier) verdict(id string, g *gen) verdict {
	if g.verdict != unread {
		return g.verdict
	}
	b, err := v.read(g.place)
	if err == nil {
		_, err = decode(id, g, b)
	}
	found := good
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad // for now; whoever loads it answers that it is lost
	case errors.Is(err, store.ErrCorrupt):
		found = bad
	case err != nil:
		return unread
	}
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	v.s.x.judge(id, g.place, found)
	return found
}

func (v *verifier) read(p place) ([]byte, error) {
	f := v.files[p.seq]
	if f == nil {
		var err error
		if f, err = v.s.openCommit(p.seq); err != nil {
			return nil, err
		}
		if len(v.files) == maxVerifierFiles {
			v.close()
		}
		v.files[p.seq] = f
	}
	return v.s.readFrom(f, p)
}

func (v *verifier) close() {
	for seq, f := range v.files {
		f.Close()
		delete(v.files, seq)
	}
}
