package filestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs/crashfs"
)

// A sweep damages the files of a store in every way it knows and looks at what
// the store makes of it.
type sweep struct {
	t     *testing.T
	img   *crashfs.Image
	truth map[string]*observation

	detected, spared int // damages
}

// newSweep makes a store with a file of each kind.
func newSweep(t *testing.T) *sweep {
	l := workload{keep: 3, run: func(w *world) {
		p := w.open()
		p.save("a", 10)
		p.together(10, "a", "b", "c")
		p.save("b", 1500)
		p.save("a", 10)
		p.save("gone", 10)
		p.delete("gone")
		p.claim("claimed", 4)
		p.acquire("l", "holder")
		p.kill()
	}}
	w := l.perform(t, rand.New(rand.NewPCG(0, 0)), nil)
	s := &sweep{t: t, img: w.disk.Image(), truth: map[string]*observation{}}
	p, err := filestore.New(w.disk.Open(), filestore.Options{Keep: 3})
	require.NoError(t, err)
	for id := range w.live.attempts {
		o, err := w.live.observe(p, id)
		require.NoError(t, err)
		s.truth[id] = &o
	}
	noticed, err := s.look(s.img)
	require.NoError(t, err)
	require.False(t, noticed, "the undamaged store")
	return s
}

// look opens the store on img and reports whether it noticed the damage. The
// error tells of a wrong answer: bytes that were never saved, a generation that
// passes for a newer one, or state that is called absent.
func (s *sweep) look(img *crashfs.Image) (noticed bool, wrong error) {
	p, err := filestore.New(crashfs.From(img).Open(), filestore.Options{Keep: 3})
	if err != nil {
		return true, onlyCorrupt(err)
	}
	for id, o := range s.truth {
		n, err := s.lookAt(p, id, o)
		if err != nil {
			return n, fmt.Errorf("%q: %w", id, err)
		}
		noticed = noticed || n
	}
	for _, err := range p.List(ctx) {
		if err != nil {
			noticed, wrong = true, errors.Join(wrong, onlyCorrupt(err))
		}
	}
	l, err := p.LoadLease(ctx, "l")
	switch {
	case err != nil:
		return true, errors.Join(wrong, onlyCorrupt(err))
	case l.Holder != "holder":
		return true, fmt.Errorf("the lease belongs to %q", l.Holder)
	}
	return noticed, wrong
}

func onlyCorrupt(err error) error {
	if errors.Is(err, store.ErrCorrupt) {
		return nil
	}
	return err
}

func (s *sweep) lookAt(p *filestore.Store, id string, truth *observation) (noticed bool, wrong error) {
	got, err := p.Load(ctx, id)
	switch {
	case truth.snap == nil && errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return true, onlyCorrupt(err)
	}
	if err := saved(truth, got); err != nil {
		return true, err
	}
	if truth.snap.Version != got.Version && got.LastVersion <= got.Version {
		return false, fmt.Errorf("version %d passes for the newest", got.Version)
	}
	noticed = got.LastVersion > got.Version
	infos, err := p.History(ctx, id)
	if err != nil {
		return true, onlyCorrupt(err)
	}
	for _, info := range infos {
		if info.Err != nil {
			noticed, wrong = true, errors.Join(wrong, onlyCorrupt(info.Err))
			continue
		}
		old, err := p.LoadVersion(ctx, id, info.Version)
		if err != nil {
			return true, err
		}
		wrong = errors.Join(wrong, saved(truth, old))
	}
	return noticed, wrong
}

// saved demands that got is one of the generations that truth has.
func saved(truth *observation, got *store.Snapshot) error {
	for _, snap := range truth.older {
		if snap.Attempt() == got.Attempt() && bytes.Equal(snap.Data, got.Data) && snap.Codec == got.Codec && snap.Schema == got.Schema {
			return nil
		}
	}
	return fmt.Errorf("version %d was never saved like this", got.Version)
}

// damage demands that the file name with content b is noticed, or, if it is
// spare what was damaged, that every answer is as before.
func (s *sweep) damage(what, name string, b []byte, spare bool) {
	img := s.img.With(name, b)
	noticed, wrong := s.look(img)
	require.NoError(s.t, wrong, "%s: %s", name, what)
	if noticed {
		s.detected++
		return
	}
	require.True(s.t, spare, "%s: %s: not noticed", name, what)
	require.NoError(s.t, s.exact(img), "%s: %s", name, what)
	s.spared++
}

// exact demands that every answer is as it is on the undamaged store.
func (s *sweep) exact(img *crashfs.Image) error {
	p, err := filestore.New(crashfs.From(img).Open(), filestore.Options{Keep: 3})
	if err != nil {
		return err
	}
	for id, truth := range s.truth {
		o, err := newHistory().observe(p, id)
		if err != nil || !o.same(truth) {
			return fmt.Errorf("%q is %v instead of %v: %w", id, o, truth, err)
		}
	}
	return nil
}

// A damagedFile is what a sweep goes through. Spare are the two copies of the
// index of a bundle, of which one is enough, and in a claim or deletion, which
// have no payload, the checksums of the payload and what follows.
type damagedFile struct {
	name     string
	b        []byte
	from, to int // the bytes between are not spare
}

// files returns FORMAT and the files that hold records.
func (s *sweep) files() (list []damagedFile) {
	for _, name := range s.img.Names() {
		b, _ := s.img.File(name)
		if name != "FORMAT" && !strings.HasPrefix(name, "c-") {
			continue
		}
		f := damagedFile{name, b, 0, len(b)}
		if h, err := envelope.ParseHeader(b); err == nil && h.Kind == envelope.Table {
			f.from, f.to = h.Len(), len(b)-h.Len()
		} else if err == nil && h.PayloadLen == 0 {
			f.to = len(b) - len(" 01234567 01234567\n")
		}
		list = append(list, f)
	}
	return list
}

func TestEveryFlippedBitOfEveryFileIsNoticed(t *testing.T) {
	s := newSweep(t)
	for _, f := range s.files() {
		for i := range 8 * len(f.b) {
			if testing.Short() && i%13 > 0 {
				continue
			}
			c := bytes.Clone(f.b)
			c[i/8] ^= 1 << (i % 8)
			s.damage(fmt.Sprintf("bit %d of byte %d flipped", i%8, i/8), f.name, c, i/8 < f.from || i/8 >= f.to)
		}
	}
	t.Logf("crash: bit flips, every one: flips=%d detected=%d without_effect_in_a_spare_copy=%d", s.detected+s.spared, s.detected, s.spared)
}

func TestEveryTruncationZeroedSectorAndAppendixIsNoticed(t *testing.T) {
	s := newSweep(t)
	for _, f := range s.files() {
		for n := range f.b {
			s.damage(fmt.Sprintf("truncated to %d bytes", n), f.name, f.b[:n], n >= f.to)
		}
		for at := 0; at < len(f.b); at += 512 {
			c := bytes.Clone(f.b)
			to := min(len(c), at+512)
			clear(c[at:to])
			s.damage(fmt.Sprintf("zeroed from %d", at), f.name, c, to <= f.from || at >= f.to)
		}
		s.damage("all zero", f.name, make([]byte, len(f.b)), false)
		for _, tail := range []string{"\x00", "\n", "garbage", string(f.b)} {
			s.damage(fmt.Sprintf("%q appended", tail), f.name, append(bytes.Clone(f.b), tail...), f.to < len(f.b))
		}
	}
	t.Logf("crash: truncations, zeroed sectors, appendices: damages=%d detected=%d without_effect_in_a_spare_copy=%d", s.detected+s.spared, s.detected, s.spared)
}

// A record names its component, epoch and version: in another place it is found
// out, unless nothing depends on its place.
func TestExchangedFilesNeverYieldWrongState(t *testing.T) {
	s := newSweep(t)
	pairs, noticed := 0, 0
	files := s.files()
	for i, one := range files {
		for _, two := range files[i+1:] {
			pairs++
			n, wrong := s.look(s.img.With(one.name, two.b).With(two.name, one.b))
			require.NoError(t, wrong, "%s exchanged with %s", one.name, two.name)
			if n {
				noticed++
			}
		}
	}
	require.Positive(t, noticed)
	t.Logf("crash: exchanged files: pairs=%d mixed=0 detected=%d where_the_place_does_not_matter=%d", pairs, noticed, pairs-noticed)
}
