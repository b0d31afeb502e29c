package crashfs

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/durablestate/durable/internal/vfs"
)

// ErrKilled is the error of everything that a process tries after its end.
var ErrKilled = errors.New("crashfs: the process was killed")

// A Proc is a process that uses the disk. It implements vfs.Dir.
type Proc struct {
	disk   *Disk
	killed bool
	closed bool
}

var _ vfs.Dir = (*Proc)(nil)

// Open returns a new process.
func (d *Disk) Open() *Proc { return &Proc{disk: d} }

// Kill ends the process: what it did stays, its locks are free, and what it
// still tries has no effect.
func (p *Proc) Kill() {
	d := p.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	p.killed = true
	for ino := range d.locks {
		d.locks[ino] = slices.DeleteFunc(d.locks[ino], func(l *lock) bool { return l.proc == p })
	}
}

// change begins an operation and applies e, unless it is to fail or check
// refuses it.
func (p *Proc) change(kind, name string, check func(*State) (event, error)) error {
	f := p.begin(kind, name)
	if f.Err != nil && !f.Done {
		return f.Err
	}
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	e, err := check(p.disk.state)
	if err != nil {
		return &fs.PathError{Op: kind, Path: name, Err: err}
	}
	p.disk.do(e)
	return f.Err
}

// look begins an operation that changes nothing.
func (p *Proc) look(kind, name string, fn func(*State) error) error {
	if f := p.begin(kind, name); f.Err != nil {
		return f.Err
	}
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	if err := fn(p.disk.state); err != nil {
		return &fs.PathError{Op: kind, Path: name, Err: err}
	}
	return nil
}

// Create implements vfs.Dir.
func (p *Proc) Create(name string) (vfs.File, error) {
	f := &file{p: p, name: name}
	err := p.change("create", name, func(s *State) (event, error) {
		if s.names[name] != nil {
			return event{}, fs.ErrExist
		}
		f.ino = len(s.inodes)
		return event{kind: created, name: name}, nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Open implements vfs.Dir.
func (p *Proc) Open(name string) (vfs.File, error) {
	f := &file{p: p, name: name}
	err := p.look("open", name, func(s *State) error {
		n := s.names[name]
		if n == nil {
			return fs.ErrNotExist
		}
		f.ino = slices.Index(s.inodes, n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Size implements vfs.Dir.
func (p *Proc) Size(name string) (size int64, err error) {
	err = p.look("size", name, func(s *State) error {
		n := s.names[name]
		if n == nil {
			return fs.ErrNotExist
		}
		size = int64(len(n.cur))
		return nil
	})
	return size, err
}

// Publish implements vfs.Dir.
func (p *Proc) Publish(oldname, newname string) error {
	return p.rename("publish", oldname, newname, false)
}

// Rename implements vfs.Dir.
func (p *Proc) Rename(oldname, newname string) error {
	return p.rename("rename", oldname, newname, true)
}

func (p *Proc) rename(kind, oldname, newname string, replace bool) error {
	return p.change(kind, newname, func(s *State) (event, error) {
		switch {
		case s.names[oldname] == nil:
			return event{}, fs.ErrNotExist
		case s.names[newname] != nil && !replace:
			return event{}, fs.ErrExist
		}
		return event{kind: renamed, name: oldname, to: newname}, nil
	})
}

// Remove implements vfs.Dir.
func (p *Proc) Remove(name string) error {
	return p.change("remove", name, func(s *State) (event, error) {
		if s.names[name] == nil {
			return event{}, fs.ErrNotExist
		}
		return event{kind: removed, name: name}, nil
	})
}

// List implements vfs.Dir.
func (p *Proc) List() (names []string, err error) {
	err = p.look("list", "", func(s *State) error {
		names = make([]string, 0, len(s.names))
		for name := range s.names {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// ModTime implements vfs.Dir by a clock that goes on with each change of names
// and is far behind that of the system.
func (p *Proc) ModTime() (at time.Time, err error) {
	err = p.look("modtime", "", func(s *State) error {
		at = time.Unix(1000+int64(s.changes), 0)
		return nil
	})
	return at, err
}

// InPlace implements vfs.Dir: nobody moves the directory.
func (p *Proc) InPlace() error { return nil }

// Sync implements vfs.Dir.
func (p *Proc) Sync() error { return p.sync("syncdir", "", dirSynced, dirSyncFailed, 0) }

func (p *Proc) sync(op, name string, good, bad kind, ino int) error {
	f := p.begin(op, name)
	if errors.Is(f.Err, ErrKilled) || errors.Is(f.Err, fs.ErrClosed) {
		return f.Err
	}
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	e := event{kind: good, ino: ino}
	if f.Err != nil && !f.Done {
		e.kind = bad
	}
	p.disk.do(e)
	return f.Err
}

// Close implements vfs.Dir.
func (p *Proc) Close() error {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	p.closed = true
	return nil
}

type file struct {
	p    *Proc
	name string
	ino  int
	off  int
}

func (f *file) Write(b []byte) (int, error) {
	fault := f.p.begin("write", f.name)
	if errors.Is(fault.Err, ErrKilled) {
		return 0, fault.Err
	}
	if fault.Err != nil {
		b = b[:len(b)/2]
	}
	f.p.disk.mu.Lock()
	defer f.p.disk.mu.Unlock()
	f.p.disk.do(event{kind: wrote, ino: f.ino, off: f.off, data: append([]byte(nil), b...)})
	f.off += len(b)
	return len(b), fault.Err
}

func (f *file) ReadAt(b []byte, off int64) (n int, err error) {
	short := false
	err = f.p.look("read", f.name, func(s *State) error {
		if cur := s.inodes[f.ino].cur; off < int64(len(cur)) {
			n = copy(b, cur[off:])
		}
		short = n < len(b)
		return nil
	})
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

func (f *file) Size() (size int64, err error) {
	err = f.p.look("stat", f.name, func(s *State) error {
		size = int64(len(s.inodes[f.ino].cur))
		return nil
	})
	return size, err
}

func (f *file) Sync() error { return f.p.sync("sync", f.name, synced, syncFailed, f.ino) }

func (f *file) Close() error { return f.p.begin("close", f.name).Err }
