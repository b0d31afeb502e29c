// Package vfs is the seam between the file store and the file system: the few
// operations that the store needs on one flat directory. [Open] gives the real
// one; tests put recorders, fault injectors and simulators in its place.
//
// Names are single path elements. Errors are those of package os, so that
// errors.Is works with fs.ErrNotExist, fs.ErrExist and the syscall numbers.
package vfs

import (
	"errors"
	"io"
	"time"
)

// ErrNotRegular is the error of opening what is not a regular file: a symbolic
// link, a directory, a pipe. Links are never followed.
var ErrNotRegular = errors.New("not a regular file")

// ErrSyncUnsupported is the error of Dir.Sync where the file system cannot make
// a directory durable. Nothing failed, but nothing is promised either.
var ErrSyncUnsupported = errors.New("the file system cannot sync a directory")

// ErrMoved is the error of Dir.InPlace.
var ErrMoved = errors.New("the directory was moved or removed, or something else is in its place, since it was opened: put it back, or restart the program to use what is there now")

// A Dir is one open directory. It stays the same directory when its path is
// renamed. It is safe for concurrent use.
type Dir interface {
	// Create creates the file name for writing, only for its owner. It must
	// not exist.
	Create(name string) (File, error)
	// Open opens the regular file name for reading.
	Open(name string) (File, error)
	// Size returns the length of the regular file name.
	Size(name string) (int64, error)
	// Publish renames a file without ever replacing another one: the error
	// is fs.ErrExist when newname exists.
	Publish(oldname, newname string) error
	// Rename renames a file and may replace newname.
	Rename(oldname, newname string) error
	// Remove removes a file.
	Remove(name string) error
	// List returns all names, in no order.
	List() ([]string, error)
	// ModTime tells when a name was last added, changed or removed, by the
	// clock of the file system.
	ModTime() (time.Time, error)
	// Sync makes all creations, renames and removals before it durable.
	Sync() error
	// OpenLock opens the lock file name, which is created if create is set.
	// No lock is taken yet.
	OpenLock(name string, create bool) (Lock, error)
	// InPlace returns ErrMoved when the path under which the directory was opened
	// does not lead to it any more. What is written then is out of sight, and gone
	// where it was removed.
	InPlace() error
	// Close releases the directory. Files and locks stay open.
	Close() error
}

// A File is an open file.
type File interface {
	io.Writer
	io.ReaderAt
	// Size returns the length.
	Size() (int64, error)
	// Sync makes the content durable, not the name. Once it failed it must
	// not be called again: the kernel forgets what it could not write.
	Sync() error
	Close() error
}

// A Lock is a handle on a lock of the kernel, which drops it when the process
// ends. Two handles exclude each other also within one process. Its methods must
// not be called concurrently and never wait.
type Lock interface {
	// Shared takes the lock together with other shared holders, or turns the
	// exclusive lock into a shared one. It reports whether it did.
	Shared() (bool, error)
	// Exclusive takes the lock alone and reports whether it did.
	Exclusive() (bool, error)
	// Atomic reports whether one kind of lock turns into the other, or
	// stays what it was, without a moment in which nothing is held.
	Atomic() bool
	// InPlace reports whether the file still has its name: a lock on another one
	// keeps nobody off who opens that name. It may be called beside the others.
	InPlace() (bool, error)
	// Close gives the lock up.
	Close() error
}
