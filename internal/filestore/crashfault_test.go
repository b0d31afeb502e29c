package filestore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/trial"
	"github.com/durablestate/durable/internal/vfs"
	"github.com/durablestate/durable/internal/vfs/crashfs"
)

// faultErrors are the errors that every operation meets in turn. EINTR stands
// for one that package os did not handle.
var faultErrors = []syscall.Errno{
	syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EINTR, syscall.EMFILE, syscall.EACCES,
}

// A fault is one error at one operation. A write fails half-way.
type fault struct {
	at     int // operation of the script
	err    syscall.Errno
	sticky bool // all later operations of the same kind fail too
	done   bool // the operation is done and fails nevertheless
}

func (f fault) String() string {
	return fmt.Sprintf("%v at operation %d (sticky %t, done %t)", error(f.err), f.at, f.sticky, f.done)
}

// faultScript is what meets the errors: everything that a store does. It looks
// at the state in between, which may fail but not lie.
func faultScript(w *world, look func(p *proc)) {
	p := w.open()
	p.save("a", 10)
	p.save("b", 600)
	look(p)
	p.save("a", 10)
	p.delete("b")
	p.claim("a", 1)
	l := p.acquire("l", "one")
	p.renew(l)
	p.save("a", 10)
	p.release(l)
	look(p)
	p.Close()
	p = w.open()
	p.save("a", 10)
	look(p)
	p.save("b", 10)
	p.Close()
}

// A faulty is the run of the script with one fault.
type faulty struct {
	w      *world
	f      fault
	kind   string        // of the operation that the fault hit; "" when there is none
	by     *crashfs.Proc // whose it was
	place  int           // its position in the record
	failed error
	mu     sync.Mutex
}

func runFaulty(t *testing.T, f fault, tidy tidiness, wrap func(vfs.Dir) vfs.Dir) *faulty {
	run := &faulty{f: f}
	synctest.Test(t, func(*testing.T) {
		run.w = &world{disk: crashfs.New(), keep: 2, tidy: tidy, wrap: wrap, live: newHistory()}
		run.w.disk.Inject(run.hook)
		faultScript(run.w, run.look)
		if run.kind != "syncdir" {
			run.w.disk.Inject(nil)
		}
		run.finish()
	})
	return run
}

// hook fails operations. A file system that could not sync a directory stops:
// only to the process that was told of it a second try is made to look well.
func (run *faulty) hook(op crashfs.Op) crashfs.Fault {
	run.mu.Lock()
	defer run.mu.Unlock()
	switch {
	case op.Index == run.f.at:
		run.kind, run.by, run.place = op.Kind, op.Proc, run.w.disk.Position()
	case op.Index < run.f.at || op.Kind != run.kind:
		return crashfs.Fault{}
	case !run.f.sticky && (op.Kind != "syncdir" || op.Proc == run.by):
		return crashfs.Fault{}
	}
	return crashfs.Fault{Err: run.f.err, Done: run.f.done}
}

// look demands that what p says is right, or that it fails with the error that
// it met.
func (run *faulty) look(p *proc) {
	for _, id := range []string{"a", "b"} {
		o, err := run.w.live.observe(p, id)
		if err == nil {
			err = run.w.live.judge(id, &o, run.w.keep)
		}
		run.demand(err)
	}
}

func (run *faulty) demand(err error) {
	if err != nil && run.failed == nil && !errors.Is(err, run.f.err) && !errors.Is(err, store.ErrClosed) {
		run.failed = err
	}
}

// finish demands, with the fault gone, that the directory can be used again, and
// that whoever was told of an error was told of this one.
func (run *faulty) finish() {
	for _, err := range run.w.errs {
		run.demand(err)
	}
	q := run.w.open()
	run.look(q)
	if err := q.save("a", 10); err != nil && run.failed == nil && run.kind != "syncdir" {
		run.failed = fmt.Errorf("opened again: %w", err)
	}
	run.look(q)
	q.Close()
}

// faults calls try with each fault of the script.
func faults(t *testing.T, tidy tidiness, try func(f fault) bool) {
	clean := runFaulty(t, fault{at: -1}, tidy, nil)
	require.NoError(t, clean.failed)
	for at := range clean.w.disk.Ops() {
		for _, err := range faultErrors {
			for way := range 3 {
				f := fault{at: at, err: err, sticky: way == 1, done: way == 2}
				if !try(f) {
					return
				}
			}
		}
	}
}

func TestCrash_simulated_errors_at_every_operation(t *testing.T) {
	tr := trial.Begin(t)
	r := rand.New(rand.NewPCG(tr.Seed, 1))
	injected, states := 0, 0
	for _, tidy := range []tidiness{patient, eager} {
		faults(t, tidy, func(f fault) bool {
			if testing.Short() && r.IntN(8) > 0 {
				return true
			}
			run := runFaulty(t, f, tidy, nil)
			if run.kind == "" || f.done && run.kind != "publish" && run.kind != "rename" && run.kind != "remove" && run.kind != "close" {
				return true
			}
			injected++
			x := explorer{r: r, keep: 2, tidy: tidy, deeper: 64, from: run.place, sparse: true, failed: run.failed}
			if x.failed == nil {
				x.explore(run.w, 2)
			}
			states += x.states
			require.NoError(tr, x.failed, "%v: %s, tidiness %d", f, run.kind, tidy)
			return true
		})
	}
	t.Logf("crash: errors injected at every operation: errors=%d lost=0 torn=0 mixed=0 crash_states_after_them=%d seed=%d", injected, states, tr.Seed)
}
