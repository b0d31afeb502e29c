package rows

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/measure"
	"github.com/durablestate/durable/bench/peers/peer"
	"github.com/durablestate/durable/bench/state"
)

const (
	handFile = "temp, fsync, rename, directory fsync by hand, one caller"
	manyFew  = 64
	manyLots = 1000
)

// files measures bytes that become durable in files, put by 1, 64 and 1,000
// callers.
func (b *Bench) files() error {
	for _, size := range []int{state.KB, 16 * state.KB} {
		t, err := b.filesOf(size)
		if err != nil {
			return err
		}
		b.claimFiles(t, size)
	}
	return nil
}

func (b *Bench) claimFiles(t *measure.Table, size int) {
	one, few, lots := oursFor(1), oursFor(manyFew), oursFor(manyLots)
	if size == state.KB {
		b.claim(8, "files, one caller", 1, "the protocol by hand", t.Ratio(handFile, one))
		if b.hasPeer(peer.Raft) {
			b.claim(8, "files, one caller", 2.3, peer.Raft, t.Ratio(callers(peer.Raft, 1), one))
		}
		b.claim(9, "files, 64 callers", 60, "the protocol by hand with one caller", t.Ratio(handFile, few))
		b.claim(9, "files, 1,000 callers", 250, "the protocol by hand with one caller", t.Ratio(handFile, lots))
	}
	for _, name := range []string{peer.Pebble, peer.Bbolt, peer.SQLite} {
		for _, n := range []int{manyFew, manyLots} {
			if b.hasPeer(name) {
				b.claim(11, fmt.Sprintf("files, %d callers, %s", n, sizeName(size)), 1, name, t.Ratio(callers(name, n), oursFor(n)))
			}
		}
	}
	if size == state.KB {
		r := t.Find(lots)
		b.limit(12, "bytes written to the device per byte of state, 1,000 callers", 1.4, "", r.Each(func(s measure.Sample) float64 {
			return float64(s.DeviceBytes) / float64(size)
		}))
	}
}

func (b *Bench) hasPeer(name string) bool {
	for _, p := range b.Peers {
		if p.Name == name {
			return true
		}
	}
	return false
}

func callers(name string, n int) string {
	if n == 1 {
		return name + ", one caller"
	}
	return fmt.Sprintf("%s, %d callers", name, n)
}

func oursFor(n int) string { return callers("durable", n) }

// filesOf measures values of size bytes.
func (b *Bench) filesOf(size int) (*measure.Table, error) {
	var cases []measure.Case
	var stores []peer.Store
	add := func(name string, open func(dir string) (peer.Store, error), n, puts int, ours bool) error {
		dir, err := b.newDir()
		if err != nil {
			return err
		}
		s, err := open(dir)
		if err != nil {
			return err
		}
		stores = append(stores, s)
		cases = append(cases, measure.Case{Name: name, Ops: n * puts, Ours: ours, Run: putAll(s, n, puts, size)})
		return nil
	}
	one := b.n(400, 4)
	errs := []error{add(handFile, openByHand, 1, one, false)}
	for _, p := range b.Peers {
		if p.OneOnly {
			errs = append(errs, add(callers(p.Name, 1), p.Open, 1, one, false))
		}
	}
	errs = append(errs, add(oursFor(1), openOurs, 1, one, true))
	for _, n := range []int{b.n(manyFew, manyFew), manyLots} {
		dir, err := b.newDir()
		if err != nil {
			return nil, err
		}
		batches := b.n(25_600/n, 1)
		cases = append(cases, measure.Case{Name: diskLimit(n), Ops: n * batches, Run: putTogether(dir, n, batches, size)})
		per := b.n(12800/n, 1)
		if n == manyLots {
			per = b.n(30, 1)
		}
		errs = append(errs, add(oursFor(n), openOurs, n, per, true))
		for _, p := range b.Peers {
			if !p.OneOnly {
				errs = append(errs, add(callers(p.Name, n), p.Open, n, max(1, per/p.Costly), false))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	t, err := b.table(fmt.Sprintf("Files, %s of bytes for each put", sizeName(size)), true, cases...)
	for _, s := range stores {
		err = errors.Join(err, s.Close())
	}
	return t, err
}

// putAll has n callers put changed values under keys of their own.
func putAll(s peer.Store, n, puts, size int) func() error {
	values := make([][]byte, n)
	for i := range values {
		values[i] = value(size, i)
	}
	return func() error {
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				key := componentID(i)
				for range puts {
					bump(values[i])
					if err := s.Put(key, values[i]); err != nil {
						errs[i] = err
						return
					}
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}
}

// diskLimit names what the disk allows n callers at most: their bytes as they are,
// in one file, by the protocol of one.
func diskLimit(n int) string { return fmt.Sprintf("limit: the bytes of %d in one file by hand", n) }

func putTogether(dir string, n, batches, size int) func() error {
	v := value(n*size, 0)
	return func() error {
		for range batches {
			bump(v)
			if err := writeDurably(dir, "all", v); err != nil {
				return err
			}
		}
		return nil
	}
}

// byHandFiles is the protocol that a careful program writes itself.
type byHandFiles struct{ dir string }

func openByHand(dir string) (peer.Store, error) { return byHandFiles{dir}, nil }

func (s byHandFiles) Put(key string, value []byte) error {
	return writeDurably(s.dir, key, value)
}

func (s byHandFiles) Close() error { return nil }

func writeDurably(dir, name string, value []byte) error {
	f, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ourFiles is a FileAdapter whose callers know their versions, as a Checkpointer
// does.
type ourFiles struct {
	adapter  *durable.FileAdapter
	mu       sync.Mutex
	versions map[string]*uint64
}

func openOurs(dir string) (peer.Store, error) {
	a, err := durable.NewFileAdapter(dir, nil)
	return &ourFiles{adapter: a, versions: map[string]*uint64{}}, err
}

func (s *ourFiles) Put(key string, value []byte) error {
	return s.adapter.SaveState(background, key, &durable.Snapshot{Epoch: 1, Version: s.next(key), Codec: "binary", Data: value})
}

func (s *ourFiles) next(key string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.versions[key]
	if v == nil {
		v = new(uint64)
		s.versions[key] = v
	}
	*v++
	return *v
}

func (s *ourFiles) Close() error { return s.adapter.Close() }
