package filestore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/vfs"
)

// compactions are workloads in which everything is moved that can be.
func compactions() (list []workload) {
	for keep := 1; keep <= 3; keep++ {
		list = append(list,
			workload{name: "compaction of bundles", keep: keep, run: compacted, tidy: eager},
			workload{name: "compaction of fences", keep: keep, run: movedFences, tidy: eager},
			workload{name: "compaction of deletions", keep: keep, run: movedDeletions, tidy: eager},
		)
	}
	for n := range 12 {
		list = append(list, workload{name: fmt.Sprintf("compaction while another process deletes at operation %d", n), keep: 2, run: movedBeside(n), tidy: eager})
	}
	return list
}

func compacted(w *world) {
	for range 2 {
		p := w.open()
		p.together(10, "a", "b", "c")
		p.save("a", 300)
		p.together(10, "b", "c")
		p.save("b", 10)
		p.Close()
	}
}

func movedFences(w *world) {
	p := w.open()
	l := p.acquire("l", "one")
	p.save("a", 10)
	p.claim("a", 3)
	p.claim("never saved", 2)
	p.renew(l)
	for range 4 {
		p.save("b", 10)
	}
	p.release(l)
	p.save("b", 10)
	p.Close()
	p = w.open()
	p.save("b", 10)
	p.Close()
}

func movedDeletions(w *world) {
	p := w.open()
	p.together(10, "gone", "alive", "back")
	p.delete("gone")
	p.delete("back")
	p.save("back", 10)
	p.save("alive", 10)
	p.Close()
	p = w.open()
	p.save("other", 10)
	p.claim("gone", 1)
	p.save("other", 10)
	p.save("back", 10)
	p.Close()
}

// movedBeside lets another process delete and claim while one compacts.
func movedBeside(n int) func(w *world) {
	return func(w *world) {
		a, b := w.open(), w.open()
		a.together(10, "x", "y", "z")
		a.save("y", 10)
		a.during(n, func() {
			b.delete("x")
			b.claim("y", 1)
			b.save("z", 10)
		}, func() { a.save("z", 10) })
		a.save("y", 10)
		b.Close()
		a.save("y", 10)
		a.Close()
	}
}

// edited makes of every file of moved records what edit makes of them.
func edited(edit func([]filestore.Moved) []filestore.Moved) func(vfs.Dir) vfs.Dir {
	return func(d vfs.Dir) vfs.Dir {
		return created(d, func(f *bentFile) {
			f.write = func(b []byte) (int, error) {
				if e := filestore.EditMoved(b, edit); e != nil {
					_, err := f.File.Write(e)
					return len(b), err
				}
				return f.File.Write(b)
			}
		})
	}
}

// without leaves the records of a kind out of what is moved.
func without(kind envelope.Kind) func(vfs.Dir) vfs.Dir {
	return edited(func(list []filestore.Moved) []filestore.Moved {
		return slices.DeleteFunc(list, func(m filestore.Moved) bool { return m.Kind == kind })
	})
}

// counted makes moved records pass for new ones.
func counted(list []filestore.Moved) []filestore.Moved {
	for i := range list {
		list[i].Origin = 0
	}
	return list
}

func mixedUp(list []filestore.Moved) []filestore.Moved {
	for i := 1; i < len(list); i++ {
		list[i-1].Record, list[i].Record = list[i].Record, list[i-1].Record
	}
	return list
}

func isMoved(b []byte) bool {
	return filestore.EditMoved(b, func(l []filestore.Moved) []filestore.Moved { return l }) != nil
}

// movedUnsynced leaves the sync of the content of moved records out.
func movedUnsynced(d vfs.Dir) vfs.Dir {
	return created(d, func(f *bentFile) {
		moved := false
		f.write = func(b []byte) (int, error) { moved = moved || isMoved(b); return f.File.Write(b) }
		f.sync = func() error {
			if moved {
				return nil
			}
			return f.File.Sync()
		}
	})
}

// movedNameless leaves the sync of the directory out that follows the publishing
// of moved records.
func movedNameless(d vfs.Dir) vfs.Dir {
	moved := false // the last file that was written
	skip := false
	b := created(d, func(f *bentFile) {
		f.write = func(b []byte) (int, error) { moved = isMoved(b); return f.File.Write(b) }
	})
	b.publish = func(oldname, newname string) error { skip = moved; return d.Publish(oldname, newname) }
	b.sync = func() error {
		if skip {
			return nil
		}
		return d.Sync()
	}
	return b
}

func compactionMutants() []mutant {
	return []mutant{
		{"the content of what was moved is not synced before the originals go", movedUnsynced, false},
		{"the name of what was moved is not synced before the originals go", movedNameless, false},
		{"compaction drops fences", without(envelope.Claim), false},
		{"compaction drops deletions", without(envelope.Deletion), false},
		{"compaction drops leases", without(envelope.Lease), false},
		{"compaction drops generations", without(envelope.Snapshot), false},
		{"moved generations pass for new ones", edited(counted), false},
		{"compaction mixes records up", edited(mixedUp), false},
	}
}

func TestSpaceStaysWithinAFactorOfWhatLives(t *testing.T) {
	dir := t.TempDir()
	s, err := filestore.Open(dir, filestore.Options{Keep: 2, CleanEvery: 2, Compact: filestore.Compaction{Slack: 256 << 10}})
	require.NoError(t, err)
	defer s.Close()
	const components, size = 300, 1024
	overwriteAtRandom(t, s, components, size, 12)
	require.NoError(t, s.Close())
	used := int64(0)
	for _, name := range commits(t, dir) {
		fi, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		used += fi.Size()
	}
	require.Less(t, used, int64(4*components*2*(size+300)))
	r := open(t, dir)
	for i := range components {
		_, version, last := loaded(t, r, fmt.Sprint("c", i))
		require.Equal(t, last, version)
	}
}
