package filestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/testkit"
	"github.com/durablestate/durable/internal/trial"
	"github.com/durablestate/durable/internal/vfs"
)

// A mutant is a deliberate error in the protocol.
type mutant struct {
	name string
	bend func(vfs.Dir) vfs.Dir
	late bool // it shows only when something fails
}

func mutants() []mutant {
	return append(compactionMutants(), []mutant{
		{"content is not synced", unsyncedContent, false},
		{"the directory is not synced", func(d vfs.Dir) vfs.Dir { return &bent{Dir: d, sync: func() error { return nil }} }, false},
		{"content is synced after it was published", publishBeforeSync, false},
		{"a save is acknowledged before the sync of the directory", acknowledgeBeforeSync, false},
		{"the directory is synced before the file is published", syncBeforePublish, false},
		{"a file is written under its final name", writeInPlace, false},
		{"publishing replaces", func(d vfs.Dir) vfs.Dir { return &bent{Dir: d, publish: d.Rename} }, false},
		{"all temporaries have the same name", sameTemp, false},
		{"a failed sync of content is tried again", retrySync, true},
		{"a failed sync of content is ignored", ignoreSync, true},
		{"a failed sync of the directory is tried again", retryDirSync, true},
		{"a short write is ignored", ignoreShortWrite, true},
		{"an old generation goes before the sync of the directory", pruneBeforeSync, false},
		{"a deletion goes together with what it deleted", buryTogether, false},
		{"the lock file is removed", unlinkLock, false},
		{"deleting does not ask for the lock", ignoreLock, false},
		{"numbers come from a clock", clockNumbers, false},
		{"a file that cannot be opened is taken for damaged", damagedByError(syscall.EMFILE), true},
		{"a file that cannot be opened is taken for absent", absentByError, true},
		{"an I/O error of reading is taken for damage", damagedByError(syscall.EIO), true},
	}...)
}

func unsyncedContent(d vfs.Dir) vfs.Dir {
	return created(d, func(f *bentFile) { f.sync = func() error { return nil } })
}

func publishBeforeSync(d vfs.Dir) vfs.Dir {
	var late vfs.File
	b := created(d, func(f *bentFile) { f.sync = func() error { late = f.File; return nil } })
	b.publish = func(oldname, newname string) error {
		err := d.Publish(oldname, newname)
		if err == nil && late != nil {
			err = late.Sync()
		}
		return err
	}
	return b
}

func acknowledgeBeforeSync(d vfs.Dir) vfs.Dir {
	due := false
	settle := func() error {
		if !due {
			return nil
		}
		due = false
		return d.Sync()
	}
	b := &bent{Dir: d, sync: func() error { due = true; return nil }}
	b.create = func(name string) (vfs.File, error) {
		if err := settle(); err != nil {
			return nil, err
		}
		return d.Create(name)
	}
	b.remove = func(name string) error { return errors.Join(settle(), d.Remove(name)) }
	return b
}

func syncBeforePublish(d vfs.Dir) vfs.Dir {
	return &bent{Dir: d, sync: func() error { return nil }, publish: func(oldname, newname string) error {
		if err := d.Sync(); err != nil {
			return err
		}
		return d.Publish(oldname, newname)
	}}
}

// writeInPlace copies the temporary to its final name, where it is synced.
func writeInPlace(d vfs.Dir) vfs.Dir {
	return &bent{Dir: d, publish: func(oldname, newname string) error {
		from, err := d.Open(oldname)
		if err != nil {
			return err
		}
		size, err := from.Size()
		if err != nil {
			return err
		}
		b := make([]byte, size)
		if _, err := from.ReadAt(b, 0); err != nil {
			return err
		}
		to, err := d.Create(newname)
		if err != nil {
			return err
		}
		if _, err := to.Write(b); err != nil {
			return err
		}
		return errors.Join(to.Sync(), to.Close(), d.Remove(oldname))
	}}
}

func sameTemp(d vfs.Dir) vfs.Dir {
	const temp = ".t-temporary"
	return &bent{Dir: d,
		create: func(string) (vfs.File, error) {
			if err := d.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			return d.Create(temp)
		},
		publish: func(_, newname string) error { return d.Publish(temp, newname) },
	}
}

func retrySync(d vfs.Dir) vfs.Dir {
	return created(d, func(f *bentFile) {
		f.sync = func() error {
			if f.File.Sync() == nil {
				return nil
			}
			return f.File.Sync()
		}
	})
}

func ignoreSync(d vfs.Dir) vfs.Dir {
	return created(d, func(f *bentFile) { f.sync = func() error { _ = f.File.Sync(); return nil } })
}

func retryDirSync(d vfs.Dir) vfs.Dir {
	return &bent{Dir: d, sync: func() error {
		if d.Sync() == nil {
			return nil
		}
		return d.Sync()
	}}
}

func ignoreShortWrite(d vfs.Dir) vfs.Dir {
	return created(d, func(f *bentFile) {
		f.write = func(b []byte) (int, error) {
			if n, err := f.File.Write(b); n == 0 {
				return 0, err
			}
			return len(b), nil
		}
	})
}

// pruneBeforeSync removes the commit before the last but one as soon as its
// successor has its name.
func pruneBeforeSync(d vfs.Dir) vfs.Dir {
	return &bent{Dir: d, publish: func(oldname, newname string) error {
		names, err := d.List()
		if err != nil {
			return err
		}
		last := ""
		for _, name := range names {
			if strings.HasPrefix(name, "c-") {
				last = max(last, name)
			}
		}
		if err := d.Publish(oldname, newname); err != nil || last == "" {
			return err
		}
		_ = d.Remove(last)
		return nil
	}}
}

// buryTogether leaves the sync out that parts a deletion from what it deleted.
func buryTogether(d vfs.Dir) vfs.Dir {
	removing := false
	return &bent{Dir: d,
		remove: func(name string) error { removing = strings.HasPrefix(name, "c-"); return d.Remove(name) },
		create: func(name string) (vfs.File, error) { removing = false; return d.Create(name) },
		sync: func() error {
			if removing {
				return nil
			}
			return d.Sync()
		},
	}
}

// unlinkLock removes the lock file, and nobody looks whether it is there.
func unlinkLock(d vfs.Dir) vfs.Dir {
	return locked(d, func(l *bentLock) {
		l.inPlace = func() (bool, error) { return true, nil }
		l.close = func() error {
			_ = d.Remove("LOCK")
			return l.Lock.Close()
		}
	})
}

func ignoreLock(d vfs.Dir) vfs.Dir {
	return locked(d, func(l *bentLock) { l.exclusive = func() (bool, error) { return true, nil } })
}

// clockNumbers names commits by a clock that each process finds a second behind
// that of its predecessor.
func clockNumbers(d vfs.Dir) vfs.Dir {
	now := uint64(1 << 40)
	if names, err := d.List(); err == nil {
		for _, name := range names {
			var n uint64
			if _, err := fmt.Sscanf(name, "c-%x", &n); err == nil {
				now = min(now, n-1000)
			}
		}
	}
	given := map[string]string{}
	real := func(name string) string {
		if n, ok := given[name]; ok {
			return n
		}
		return name
	}
	return &bent{Dir: d,
		open:   func(name string) (vfs.File, error) { return d.Open(real(name)) },
		size:   func(name string) (int64, error) { return d.Size(real(name)) },
		remove: func(name string) error { return d.Remove(real(name)) },
		publish: func(oldname, newname string) error {
			if strings.HasPrefix(newname, "c-") {
				now++
				given[newname] = fmt.Sprintf("c-%016x", now)
			}
			return d.Publish(oldname, real(newname))
		},
	}
}

// emptyFile is what a careless reader makes of a file that it could not read.
type emptyFile struct{ *bytes.Reader }

func (emptyFile) Write([]byte) (int, error) { return 0, fs.ErrInvalid }
func (emptyFile) Size() (int64, error)      { return 0, nil }
func (emptyFile) Sync() error               { return nil }
func (emptyFile) Close() error              { return nil }

type brittleFile struct {
	vfs.File
	of syscall.Errno
}

func (f brittleFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	if errors.Is(err, f.of) {
		clear(b)
		return len(b), nil
	}
	return n, err
}

func damagedByError(of syscall.Errno) func(vfs.Dir) vfs.Dir {
	return func(d vfs.Dir) vfs.Dir {
		return &bent{Dir: d, open: func(name string) (vfs.File, error) {
			f, err := d.Open(name)
			if errors.Is(err, of) {
				return emptyFile{bytes.NewReader(nil)}, nil
			}
			if err != nil {
				return nil, err
			}
			return brittleFile{f, of}, nil
		}}
	}
}

func absentByError(d vfs.Dir) vfs.Dir {
	return &bent{Dir: d, open: func(name string) (vfs.File, error) {
		f, err := d.Open(name)
		if err != nil {
			return nil, fs.ErrNotExist
		}
		return f, nil
	}}
}

// hunt returns how the simulator finds the mutant out, "" if it does not.
func (m mutant) hunt(t *testing.T, seed uint64) (evidence string) {
	r := rand.New(rand.NewPCG(seed, 2))
	judge := func(w *world, x *explorer) bool {
		x.r, x.keep, x.tidy, x.deeper = r, w.keep, min(w.tidy, eager), 64
		if x.failed == nil {
			x.explore(w, 16)
		}
		if x.failed != nil {
			evidence, _, _ = strings.Cut(x.failed.Error(), "\n")
		}
		return evidence != ""
	}
	if !m.late {
		for _, l := range append(workloads(), compactions()...) {
			if judge(l.perform(t, r, m.bend), &explorer{}) {
				return l.name + ": " + evidence
			}
		}
	}
	faults(t, patient, func(f fault) bool {
		run := runFaulty(t, f, patient, m.bend)
		if run.kind != "" && judge(run.w, &explorer{from: run.place, sparse: true, failed: run.failed}) {
			evidence = f.String() + ": " + evidence
		}
		return evidence == ""
	})
	return evidence
}

func TestCrash_simulated_mutants(t *testing.T) {
	if testkit.RaceDetector && testing.Short() {
		t.Skip("SKIPPED: -short; the mutants are no more racy than the rest, and take minutes under the race detector")
	}
	tr := trial.Begin(t)
	killed := 0
	for _, m := range mutants() {
		evidence := m.hunt(t, tr.Seed)
		if evidence != "" {
			killed++
		}
		t.Logf("%-55s %s", m.name, evidence)
		require.NotEmpty(t, evidence, "the simulator does not notice that %s", m.name)
	}
	t.Logf("crash: mutants of the protocol: mutants=%d killed=%d seed=%d", len(mutants()), killed, tr.Seed)
}
