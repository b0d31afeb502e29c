// Package crashfs is a file system in memory, behind the seam of package vfs,
// that records every operation and can show every state in which a power cut
// may leave it.
//
// Its rules are the weakest that POSIX allows. Sync of a file makes its content
// and length durable, not its name. Sync of the directory makes names durable.
// Of everything else any part may survive a crash, and in any order: each sector
// of 512 bytes, a length without the bytes, the bytes without the length, each
// creation and removal, a rename or the removal of the old name only after the
// new one. Only one thing never happens: a file that had a durable name and was
// renamed has at least one of its names.
//
// A sync that fails forgets what it should have written: it stays in doubt for
// ever, although it can be read and the next sync succeeds.
package crashfs

import (
	"io/fs"
	"sync"
)

// A Disk is one directory on a simulated disk and what the operating system
// keeps of it in memory. It is safe for concurrent use.
type Disk struct {
	mu    sync.Mutex
	first *Image
	state *State
	log   []event
	locks map[int][]*lock // by inode
	ops   int
	onOp  func(Op) Fault
}

// New returns an empty disk.
func New() *Disk { return From(&Image{}) }

// From returns the disk as a machine that starts finds it: all of img is
// durable. It does not change img.
func From(img *Image) *Disk {
	return &Disk{first: img, state: newState(img), locks: map[int][]*lock{}}
}

// An Op is an operation that a process is about to begin.
type Op struct {
	Index int // operations before it, of all processes
	Proc  *Proc
	Kind  string // create open read write stat sync close publish rename remove size list modtime syncdir openlock lock
	Name  string // of the file; the new name of a rename
}

// A Fault is what an operation meets. The zero Fault is none.
type Fault struct {
	Err  error // fails the operation; a write does half of its work before
	Done bool  // the operation is done and fails nevertheless
}

// OnOp has hook called before each operation, which may use the disk itself.
func (d *Disk) OnOp(hook func(Op) Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onOp = hook
}

// Ops returns the number of operations that were begun.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// Mark adds a remark of the caller to the record, which Replay hands back at its
// place.
func (d *Disk) Mark(remark any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, event{kind: marked, mark: remark})
}

// Image returns what the disk holds when it is shut down in order.
func (d *Disk) Image() *Image {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.visible()
}

// Replay calls visit with the state of the disk after each recorded change, and
// with each remark at its place, until visit returns false. The State is valid
// only until visit returns.
func (d *Disk) Replay(visit func(pos int, remark any, s *State) bool) {
	d.mu.Lock()
	log := d.log[:len(d.log):len(d.log)]
	d.mu.Unlock()
	s := newState(d.first)
	for i := range log {
		s.apply(&log[i])
		if !visit(i, log[i].mark, s) {
			return
		}
	}
}

// Position returns the length of the record so far.
func (d *Disk) Position() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.log)
}

// Log returns the recorded operations up to position end as text.
func (d *Disk) Log(end int) (lines []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.log[:min(end, len(d.log))] {
		lines = append(lines, d.log[i].String())
	}
	return lines
}

// do records and applies e. mu is held.
func (d *Disk) do(e event) {
	d.log = append(d.log, e)
	d.state.apply(&e)
}

// begin asks the hook what happens to an operation of p.
func (p *Proc) begin(kind, name string) Fault {
	d := p.disk
	d.mu.Lock()
	op := Op{Index: d.ops, Proc: p, Kind: kind, Name: name}
	d.ops++
	hook, dead, closed := d.onOp, p.killed, p.closed && ofDir(kind)
	d.mu.Unlock()
	if closed {
		return Fault{Err: &fs.PathError{Op: kind, Path: name, Err: fs.ErrClosed}}
	}
	var f Fault
	if hook != nil && !dead {
		f = hook(op)
		d.mu.Lock()
		dead = p.killed
		d.mu.Unlock()
	}
	if dead {
		return Fault{Err: ErrKilled}
	}
	if f.Err != nil {
		f.Err = &fs.PathError{Op: kind, Path: name, Err: f.Err}
	}
	return f
}

// ofDir reports whether kind is an operation of vfs.Dir.
func ofDir(kind string) bool {
	switch kind {
	case "read", "write", "stat", "sync", "close", "lock":
		return false
	}
	return true
}
