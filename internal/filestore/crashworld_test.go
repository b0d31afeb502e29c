package filestore_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
	"github.com/durablestate/durable/internal/vfs/crashfs"
)

// A world is a simulated disk, the processes that use it, and the record of what
// they were told.
type world struct {
	disk *crashfs.Disk
	keep int
	tidy tidiness
	r    *rand.Rand
	wrap func(vfs.Dir) vfs.Dir // what the mutant makes of the file system; nil: nothing

	past     *history // what was known before the record began; nil: nothing
	mu       sync.Mutex
	live     *history // what is known by now
	errs     []error  // that processes were told
	writes   int
	together [][]*attempt
}

// A tidiness says how eagerly stores delete and compact.
type tidiness int

const (
	patient tidiness = iota // as in production
	eager                   // after every commit
	beside                  // after every commit, beside the next one
)

func (t tidiness) options(keep int) filestore.Options {
	o := filestore.Options{Keep: keep, Serial: t != beside}
	if t != patient {
		o.CleanEvery, o.Compact = 1, filestore.Compaction{Slack: 1, Files: 1, Merge: 2}
	}
	return o
}

// A proc is a process that has a store open.
type proc struct {
	w *world
	p *crashfs.Proc
	*filestore.Store
}

func (w *world) dir(p *crashfs.Proc) vfs.Dir {
	if w.wrap == nil {
		return p
	}
	return w.wrap(p)
}

// open starts a process. When the directory cannot be opened the process has a
// closed store: it fails at everything, which the crash check then sees.
func (w *world) open() *proc {
	p := w.disk.Open()
	s, err := filestore.New(w.dir(p), w.tidy.options(w.keep))
	if err != nil {
		w.failed(err)
		s, _ = filestore.New(crashfs.New().Open(), filestore.Options{Keep: w.keep})
		s.Close()
	}
	return &proc{w, p, s}
}

// kill ends the process as kill -9 does.
func (p *proc) kill() {
	p.p.Kill()
	p.Close()
}

// restart turns the machine off in order and on again. A new record begins.
func (w *world) restart() {
	h := newHistory()
	w.disk.Replay(func(_ int, remark any, _ *crashfs.State) bool {
		if m, ok := remark.(mark); ok {
			h.apply(m)
		}
		return true
	})
	w.past, w.disk = h, crashfs.From(w.disk.Image())
}

// mark adds m to the record of the disk and to what is known.
func (w *world) mark(m mark) {
	w.disk.Mark(m)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live.apply(m)
	if m.err != nil {
		w.errs = append(w.errs, m.err)
	}
}

func (w *world) begin(a *attempt) { w.mark(mark{attempt: a}) }

func (w *world) end(a *attempt, err error) error {
	w.mark(mark{attempt: a, end: true, err: err})
	return err
}

// failed notes an error that a process was told before it attempted anything.
func (w *world) failed(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs = append(w.errs, err)
	return err
}

func (w *world) number() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	return w.writes
}

// newSave returns the next save of id as its owner would make it.
func (p *proc) newSave(id string, size int) (*attempt, *store.Snapshot, error) {
	f, err := p.Fence(ctx, id)
	if err != nil {
		return nil, nil, p.w.failed(err)
	}
	f.Epoch = max(f.Epoch, 1)
	n := p.w.number()
	a := &attempt{kind: "save", id: id, epoch: f.Epoch, version: f.Version + 1, writeID: fmt.Sprint("w", n)}
	a.data = fmt.Sprintf(`{"id":%q,"n":%d,"pad":%q}`, id, n, strings.Repeat(fmt.Sprint(n%10), size))
	return a, &store.Snapshot{Epoch: a.epoch, Version: a.version, WriteID: a.writeID, Codec: "json", Data: []byte(a.data)}, nil
}

func (p *proc) save(id string, size int) error {
	a, snap, err := p.newSave(id, size)
	if err != nil {
		return err
	}
	return p.put(a, snap)
}

func (p *proc) put(a *attempt, snap *store.Snapshot) error {
	p.w.begin(a)
	return p.w.end(a, p.Save(ctx, a.id, snap))
}

func (p *proc) claim(id string, more uint64) error {
	f, err := p.Fence(ctx, id)
	if err != nil {
		return p.w.failed(err)
	}
	a := &attempt{kind: "claim", id: id, epoch: f.Epoch + more}
	p.w.begin(a)
	return p.w.end(a, p.Claim(ctx, id, a.epoch))
}

func (p *proc) delete(id string) error {
	f, err := p.Fence(ctx, id)
	if err != nil {
		return p.w.failed(err)
	}
	a := &attempt{kind: "delete", id: id, epoch: f.Epoch + 1}
	p.w.begin(a)
	return p.w.end(a, p.Delete(ctx, id))
}

func (p *proc) lease(l *leaseAttempt, call func() (*store.Lease, error)) *store.Lease {
	p.w.mark(mark{lease: l})
	got, err := call()
	if err == nil {
		l.epoch = got.Epoch
	}
	p.w.mark(mark{lease: l, end: true, err: err})
	return got
}

func (p *proc) acquire(name, holder string) *store.Lease {
	return p.lease(&leaseAttempt{name: name}, func() (*store.Lease, error) {
		return p.AcquireLease(ctx, name, holder, time.Minute, 1)
	})
}

func (p *proc) renew(l *store.Lease) {
	if l == nil {
		return
	}
	p.lease(&leaseAttempt{name: l.Name}, func() (*store.Lease, error) { return p.RenewLease(ctx, l) })
}

func (p *proc) release(l *store.Lease) {
	if l == nil {
		return
	}
	p.lease(&leaseAttempt{name: l.Name, released: true}, func() (*store.Lease, error) { return p.ReleaseLease(ctx, l) })
}

// together saves several components in one commit: while the commit of another
// one is held up they all wait. It needs a synctest bubble.
func (p *proc) together(size int, ids ...string) {
	var group []*attempt
	var snaps []*store.Snapshot
	for _, id := range append([]string{"gate"}, ids...) {
		a, snap, err := p.newSave(id, size)
		if err != nil {
			return
		}
		group, snaps = append(group, a), append(snaps, snap)
	}
	gate := make(chan struct{})
	p.w.disk.OnOp(func(op crashfs.Op) crashfs.Fault {
		if op.Kind == "sync" {
			<-gate
		}
		return crashfs.Fault{}
	})
	var wg sync.WaitGroup
	var over atomic.Bool // the commit of the first, perhaps with an error
	held := false
	for i, a := range group {
		wg.Go(func() {
			p.put(a, snaps[i])
			over.Store(true)
		})
		synctest.Wait()
		p.w.disk.OnOp(nil)
		if i == 0 { // what stands at the gate may be the cleaner, and the first still wait
			held = p.Waiting() == 0 && !over.Load()
		}
	}
	if held {
		p.w.together = append(p.w.together, group[1:])
	}
	close(gate)
	wg.Wait()
}

// during runs other when process p is about to begin its n-th operation within
// fn, as another process would that is fast while this one is slow.
func (p *proc) during(n int, other, fn func()) { p.w.cross(p, n, fn, p, -1, other) }

// cross runs first in process p and, when that is about to begin its n-th
// operation, second in process q, which stops before its own m-th operation until
// first is over. Whoever is waited for by the other goes on after a while.
func (w *world) cross(p *proc, n int, first func(), q *proc, m int, second func()) {
	started, stopped := make(chan struct{}), make(chan struct{})
	over, done := make(chan struct{}), make(chan struct{})
	wait := func(a, b <-chan struct{}) {
		select {
		case <-a:
		case <-b:
		case <-time.After(time.Second):
		}
	}
	left := map[*crashfs.Proc]int{p.p: n}
	w.disk.OnOp(func(op crashfs.Op) crashfs.Fault {
		w.mu.Lock()
		now, counted := left[op.Proc]
		left[op.Proc]--
		if counted && now == 0 && op.Proc == p.p && q != p {
			left[q.p] = m
		}
		w.mu.Unlock()
		switch {
		case !counted || now != 0:
		case op.Proc == p.p:
			close(started)
			go func() { defer close(done); second() }()
			wait(stopped, done)
		default:
			close(stopped)
			wait(over, nil)
		}
		return crashfs.Fault{}
	})
	first()
	close(over)
	select {
	case <-started:
		<-done
	default: // it had fewer operations
	}
	w.disk.OnOp(nil)
}

// A workload is what processes do on one disk. It runs in a synctest bubble.
type workload struct {
	name string
	keep int
	run  func(w *world)
	tidy tidiness
}

// perform runs the workload and returns its record.
func (l workload) perform(t *testing.T, r *rand.Rand, wrap func(vfs.Dir) vfs.Dir) (w *world) {
	synctest.Test(t, func(*testing.T) {
		w = &world{disk: crashfs.New(), keep: l.keep, tidy: l.tidy, r: r, wrap: wrap, live: newHistory()}
		l.run(w)
	})
	return w
}
