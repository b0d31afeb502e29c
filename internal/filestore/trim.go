package filestore

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// trim forgets the generations beyond those that are kept, of components that this
// store saved. How many others keep is not for it to say. One that does not verify
// does not count, so those that are kept are read first.
func (s *Store) trim() {
	v, _ := s.verifiers.Get().(*verifier)
	if v == nil {
		v = &verifier{}
	}
	defer s.verifiers.Put(v)
	for rounds := 0; ; rounds++ {
		v.todo = s.untrimmed(rounds, v.todo[:0])
		found := v.verify(s, v.todo)
		clear(v.todo)
		if !found {
			return
		}
	}
}

// A reading to do: the generation g of c.
type unverified struct {
	c *component
	g gen
}

// maxTrimRounds bounds how often trim goes back to older generations because
// younger ones turned out to be bad.
const maxTrimRounds = 64

// untrimmed forgets what can be forgotten and returns todo with the generations
// that have to be read before more can be.
func (s *Store) untrimmed(rounds int, todo []unverified) []unverified {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.x.over {
		done, keep := true, int(c.keep)
		n, i := 0, len(c.gens)-1
		for ; i >= 0 && n < keep; i-- {
			switch c.gens[i].verdict() {
			case unread:
				todo = append(todo, unverified{c, c.gens[i]})
				done = false
				n++ // presumably
			case good:
				n++
			}
		}
		if !done {
			continue
		}
		if n == keep {
			s.x.drop(c, 0, i+1)
		}
		if len(c.gens) <= keep || i < 0 {
			delete(s.x.over, c)
		}
	}
	if rounds == maxTrimRounds {
		return todo[:0]
	}
	return todo
}

// A verifier reads generations back, those of a file in one go. It is used again
// and belongs to nobody in between.
type verifier struct {
	todo []unverified
	buf  []byte
}

// verify reads todo and reports whether it found anything out.
func (v *verifier) verify(s *Store, todo []unverified) (found bool) {
	slices.SortFunc(todo, func(a, b unverified) int {
		if a.g.file != b.g.file {
			return bySeq(a.g.file, b.g.file)
		}
		return int(int64(a.g.at) - int64(b.g.at))
	})
	for len(todo) > 0 {
		n := 1
		for n < len(todo) && todo[n].g.file == todo[0].g.file {
			n++
		}
		found = v.verifyFile(s, todo[:n]) || found
		todo = todo[n:]
	}
	return found
}

// verifyFile reads generations that lie in one file, in the order in which they
// lie there.
func (v *verifier) verifyFile(s *Store, todo []unverified) (found bool) {
	verdicts := make([]verdict, len(todo))
	f, err := s.openCommit(todo[0].g.file.seq)
	var r *stretch
	if err == nil {
		r, err = v.stretch(f, todo)
		defer f.Close()
	}
	for i := range todo {
		e := err
		if e == nil {
			e = v.check(s, f, r, &todo[i])
		}
		switch {
		case e == nil:
			verdicts[i] = good
		case errors.Is(e, store.ErrCorrupt), errors.Is(e, fs.ErrNotExist):
			verdicts[i] = bad // a lost one is answered as such by who loads it
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, found := range verdicts {
		if found != unread {
			todo[i].c.judge(&todo[i].g, found)
		}
	}
	return slices.ContainsFunc(verdicts, func(f verdict) bool { return f != unread })
}

// A stretch is a part of a file that was read in one go.
type stretch struct {
	off int64
	b   []byte
}

// stretch reads all of todo in one go if it lies close together. It returns nil
// if it does not, or does not read: then each is read by itself.
func (v *verifier) stretch(f vfs.File, todo []unverified) (*stretch, error) {
	size, err := f.Size()
	if err != nil || len(todo) == 1 {
		return nil, err
	}
	wanted := int64(0)
	for i := range todo {
		wanted += todo[i].g.place().size
	}
	last := todo[len(todo)-1].g.place()
	from, to := todo[0].g.place().off, last.off+last.size
	if n := to - from; to > size || n > maxScratch || n > 2*wanted {
		return nil, nil
	}
	b, err := readInto(f, from, to-from, v.buf)
	if err != nil {
		return nil, nil
	}
	v.buf = b
	return &stretch{from, b}, nil
}

// check verifies the generation u, which lies in f and, if that is not nil, in r.
func (v *verifier) check(s *Store, f vfs.File, r *stretch, u *unverified) (err error) {
	p := u.g.place()
	var b []byte
	if r != nil {
		b = r.b[p.off-r.off:][:p.size]
	} else if b, err = s.readFrom(f, p, v.buf); err != nil {
		return err
	} else if cap(b) <= maxScratch {
		v.buf = b
	}
	if envelope.Intact(u.c.id, u.g.epoch, u.g.version, b) {
		return nil
	}
	_, err = decode(u.c.id, &u.g, b)
	return err
}
