package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Open opens the directory path and creates it, durably and only for its owner,
// if it does not exist.
func Open(path string) (Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := makeDirs(path); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	handle, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	return &osDir{path: path, root: root, handle: handle}, nil
}

// makeDirs creates path and its missing parents, each made durable by a sync of
// the directory that holds it.
func makeDirs(path string) error {
	fi, err := os.Stat(path)
	switch {
	case err == nil && !fi.IsDir():
		return &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	case err == nil || !os.IsNotExist(err):
		return err
	}
	parent := filepath.Dir(path)
	if parent == path {
		return &fs.PathError{Op: "mkdir", Path: path, Err: fs.ErrNotExist}
	}
	if err := makeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	d, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := syncDir(d); err != nil && err != ErrSyncUnsupported {
		return err
	}
	return nil
}

type osDir struct {
	path   string
	root   *os.Root
	handle *os.File // of the directory itself
}

func (d *osDir) Create(name string) (File, error) {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Open looks before it opens, because os.Root follows links that stay inside
// and a pipe would block, and again afterwards, in case it was exchanged.
func (d *osDir) Open(name string) (File, error) {
	before, err := d.regular(name)
	if err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return osFile{f}, nil
}

func (d *osDir) Size(name string) (int64, error) {
	fi, err := d.regular(name)
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func (d *osDir) regular(name string) (fs.FileInfo, error) {
	fi, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%w (%s)", ErrNotRegular, fi.Mode().Type())}
	}
	return fi, nil
}

func (d *osDir) Publish(oldname, newname string) error { return d.publish(oldname, newname) }
func (d *osDir) Rename(oldname, newname string) error  { return d.root.Rename(oldname, newname) }
func (d *osDir) Remove(name string) error              { return d.root.Remove(name) }
func (d *osDir) Sync() error                           { return syncDir(d.handle) }

func (d *osDir) ModTime() (time.Time, error) {
	fi, err := d.handle.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return fi.ModTime(), nil
}

func (d *osDir) List() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d *osDir) OpenLock(name string, create bool) (Lock, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	f, err := d.root.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	return &osLock{f: f, root: d.root, name: name}, nil
}

// InPlace compares both as they are now: what a file system says of a directory
// may change while that is open. Where the path may not be looked at nothing is
// known to be wrong.
func (d *osDir) InPlace() error {
	here, err := d.handle.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(d.path)
	switch {
	case err == nil && os.SameFile(here, there), errors.Is(err, fs.ErrPermission):
		return nil
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s: %w", d.path, ErrMoved)
	}
	return err
}

func (d *osDir) Close() error {
	err := d.handle.Close()
	if e := d.root.Close(); err == nil {
		err = e
	}
	return err
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

// osLock is a lock on an open file, taken by the lock_*.go of the platform.
type osLock struct {
	f    *os.File
	root *os.Root
	name string
}

func (l *osLock) InPlace() (bool, error) {
	mine, err := l.f.Stat()
	if err != nil {
		return false, err
	}
	named, err := l.root.Lstat(l.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, named), err
}

func (l *osLock) Shared() (bool, error)    { return l.take(false) }
func (l *osLock) Exclusive() (bool, error) { return l.take(true) }
func (l *osLock) Close() error             { return l.f.Close() }

// control runs call on the descriptor of f, which stays open meanwhile.
func control(f *os.File, call func(fd uintptr) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	if err := c.Control(func(fd uintptr) { callErr = call(fd) }); err != nil {
		return &fs.PathError{Op: "use", Path: f.Name(), Err: fs.ErrClosed} // the only reason, under another name
	}
	return callErr
}
