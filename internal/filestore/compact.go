package filestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// Compaction says when files are compacted. Zero fields mean the defaults named
// here.
type Compaction struct {
	Slack int64 // bytes of superseded records beside live ones in the same files that are left alone, apart from as many as there are live ones; 32 MiB
	Files int   // commit files above which small ones are put together; 2048
	Merge int   // small ones that are put together at least; 256
}

const (
	maxMoved      = 4096    // records of one file of moved ones
	maxMovedBytes = 4 << 20 // and their bytes
	maxMoves      = 64      // files of moved records that are written in a row
	smallFile     = 32 << 10
)

func (c *Compaction) setDefaults() {
	if c.Slack == 0 {
		c.Slack = 32 << 20
	}
	if c.Files == 0 {
		c.Files = 2048
	}
	if c.Merge == 0 {
		c.Merge = 256
	}
}

// A move is a file with the records that live in some others, written but not
// published yet.
type move struct {
	temp    string
	size    int64
	entries []entry
	done    chan error // buffered
}

// compact moves what lives in files most of which is superseded, and in many
// small files, to a new one, so that the old ones become garbage. It stops when
// nothing is worth it.
//
// The new file is a commit like others, so that what it holds is durable before
// the originals go. It is written here; only publishing it is the committer's.
func (s *Store) compact() {
	for range maxMoves {
		s.mu.Lock()
		victims := s.x.victims(&s.opts.Compact)
		if s.refusal() != nil {
			victims = nil
		}
		s.mu.Unlock()
		if len(victims) == 0 || s.moveOut(victims) != nil {
			return
		}
	}
}

// victims returns files to compact, oldest first.
func (x *index) victims(opts *Compaction) (list []*file) {
	var dead int64 // beside live ones
	for _, f := range x.files {
		if f.refs > 0 {
			dead += f.records - f.live
		}
	}
	sparse, merge := dead > x.live+opts.Slack, len(x.files)-len(x.garbage) > opts.Files
	if !sparse && !merge {
		return nil
	}
	var small []*file
	for _, f := range x.files {
		switch {
		case f.refs == 0 || f.stuck || f.rotten:
		case sparse && 2*f.live <= f.records:
			list = append(list, f)
		case merge && f.size <= smallFile:
			small = append(small, f)
		}
	}
	if len(small) >= opts.Merge {
		list = append(list, small...)
	}
	slices.SortFunc(list, bySeq)
	n, bytes := 0, int64(0)
	for n < len(list) && n < maxMoved && (n == 0 || bytes+list[n].live <= maxMovedBytes) {
		bytes += list[n].live
		n++
	}
	return list[:n]
}

// moveOut moves what lives in the files victims. Those in which something does
// not read are left alone from then on.
func (s *Store) moveOut(victims []*file) error {
	m, e := &move{done: make(chan error, 1)}, &encoder{}
	var records [][]byte
	for _, f := range victims {
		entries, b, err := s.living(f)
		if err != nil && !stays(err) {
			return err
		}
		if err != nil || len(entries) == 0 {
			s.mu.Lock()
			f.stuck = true
			s.mu.Unlock()
			continue
		}
		m.entries, records = append(m.entries, entries...), append(records, b...)
	}
	if len(m.entries) == 0 {
		return nil
	}
	e.entries = m.entries
	if err := e.open(0, true); err != nil {
		return err
	}
	for i, b := range records {
		e.add(b, nil, &e.entries[i])
	}
	e.buf = append(e.buf, e.table...)
	m.size = int64(len(e.buf))
	var err error
	if m.temp, err = s.writeTemp(func(f vfs.File) error { return writeAll(f, e.buf) }); err != nil {
		return err
	}
	return s.hand(m)
}

// stays reports that err, met while a file was read, will be met again: what
// lives there stays where it is.
func stays(err error) bool {
	for _, e := range []error{store.ErrCorrupt, store.ErrTooLarge, store.ErrTooNew, syscall.EIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// hand lets the committer publish m.
func (s *Store) hand(m *move) error {
	var err error
	if s.serial() {
		err = s.tryMove(m)
	} else {
		s.mu.Lock()
		if err = s.refusal(); err == nil {
			s.committer.publish(m)
		}
		s.mu.Unlock()
		if err == nil {
			err = <-m.done
		}
	}
	if err != nil {
		s.discard(m.temp)
	}
	s.own(m.temp, false)
	return err
}

// living returns the records of f that something refers to, as they are.
func (s *Store) living(f *file) (entries []entry, records [][]byte, err error) {
	c, err := readCommit(s.dir, f.seq)
	if err == nil {
		err = c.err
	}
	if err != nil {
		return nil, nil, err
	}
	if entries, err = s.alive(f, c.entries); err != nil {
		return nil, nil, err
	}
	file, err := s.openCommit(f.seq)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	for i := range entries {
		e := &entries[i]
		b, err := s.readFrom(file, placeAt(f, e.off, e.size), nil)
		if err == nil {
			err = e.verify(b)
		}
		if err != nil {
			return nil, nil, err
		}
		e.size = int64(len(b))
		records = append(records, b)
	}
	return entries, records, nil
}

// alive returns those of the records all of f that something refers to. The error
// is ErrCorrupt if one of them did not verify, whose bytes are to stay.
func (s *Store) alive(f *file, all []entry) (entries []entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range all {
		lives, bad := s.x.lives(f, &e)
		if bad {
			return nil, store.ErrCorrupt
		}
		if lives {
			e.origin = cmp.Or(e.origin, f.seq)
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// verify demands that b is the record that e tells of.
func (e *entry) verify(b []byte) error {
	if e.err != nil {
		return e.err
	}
	r, n, err := envelope.Parse(b)
	if err != nil {
		return err
	}
	if n != len(b) || r.ID != e.id || r.Kind != e.kind || r.Epoch != e.epoch || r.Version != e.version || r.WriteID != e.writeID {
		return fmt.Errorf("%w: the record is not what the table says", store.ErrCorrupt)
	}
	return nil
}

// lives reports whether something refers to the record e of f, and whether that
// is known not to verify. mu is held.
func (x *index) lives(f *file, e *entry) (lives, damaged bool) {
	p := placeAt(f, e.off, e.size)
	if e.kind == envelope.Lease {
		l := x.leases[e.id]
		lives = l != nil && l.place == p
		return lives, lives && l.err != nil
	}
	c := x.comps.get(e.id)
	if c == nil {
		return false, false
	}
	if e.kind == envelope.Snapshot {
		i := slices.IndexFunc(c.gens, func(g gen) bool { return g.place() == p })
		return i >= 0, i >= 0 && c.gens[i].verdict() == bad
	}
	return c.more != nil && (c.more.head == p || c.more.tomb == p), false
}

// errDied ends a move of which something was deleted meanwhile.
var errDied = errors.New("filestore: what was moved was deleted meanwhile")

// tryMove publishes m like any other commit. What it holds may have been
// superseded meanwhile, which does no harm, but not deleted.
func (s *Store) tryMove(m *move) error {
	for {
		s.mu.Lock()
		err := s.refusal()
		if err == nil && !s.x.undeleted(m) {
			err = errDied
		}
		c := commit{size: m.size, entries: m.entries}
		if err == nil {
			c.seq, err = s.x.next()
		}
		s.mu.Unlock()
		if err == nil {
			err = s.ensureSynced(c.seq - 1)
		}
		if err == nil {
			err = s.holds()
		}
		if err == nil {
			err = s.dir.Publish(m.temp, commitName(c.seq))
		}
		if err == nil {
			return s.published(&c)
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := s.refresh(context.Background()); err != nil {
			return err
		}
	}
}

// undeleted reports whether no component of m was deleted after what is moved.
// mu is held.
func (x *index) undeleted(m *move) bool {
	for i := range m.entries {
		e := &m.entries[i]
		if e.kind != envelope.Snapshot {
			continue
		}
		c := x.comps.get(e.id)
		if c == nil || c.deleted || c.more != nil && c.more.died > e.origin {
			return false
		}
	}
	return true
}
