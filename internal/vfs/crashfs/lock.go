package crashfs

import (
	"io/fs"
	"slices"

	"github.com/durablestate/durable/internal/vfs"
)

// A lock belongs to an inode, as locks of the kernel do: a file of the same name
// that was created anew has other locks.
type lock struct {
	proc      *Proc
	name      string
	ino       int
	exclusive bool
}

// OpenLock implements vfs.Dir.
func (p *Proc) OpenLock(name string, create bool) (vfs.Lock, error) {
	if f := p.begin("openlock", name); f.Err != nil {
		return nil, f.Err
	}
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	s := p.disk.state
	if s.names[name] == nil {
		if !create {
			return nil, &fs.PathError{Op: "openlock", Path: name, Err: fs.ErrNotExist}
		}
		p.disk.do(event{kind: created, name: name})
	}
	return &lock{proc: p, name: name, ino: slices.Index(s.inodes, s.names[name])}, nil
}

func (l *lock) Shared() (bool, error)    { return l.take(false) }
func (l *lock) Exclusive() (bool, error) { return l.take(true) }
func (l *lock) Atomic() bool             { return true }

func (l *lock) InPlace() (bool, error) {
	d := l.proc.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.state
	return s.names[l.name] != nil && s.inodes[l.ino] == s.names[l.name], nil
}

func (l *lock) take(exclusive bool) (bool, error) {
	if f := l.proc.begin("lock", l.name); f.Err != nil {
		return false, f.Err
	}
	d := l.proc.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, other := range d.locks[l.ino] {
		if other != l && (exclusive || other.exclusive) {
			return false, nil
		}
	}
	l.exclusive = exclusive
	if !slices.Contains(d.locks[l.ino], l) {
		d.locks[l.ino] = append(d.locks[l.ino], l)
	}
	return true, nil
}

func (l *lock) Close() error {
	d := l.proc.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	d.locks[l.ino] = slices.DeleteFunc(d.locks[l.ino], func(o *lock) bool { return o == l })
	return nil
}
