package filestore

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/durablestate/durable/internal/store"
)

// lasting are what a file system answers until somebody acts, and what to do. Whatever
// is not named here passes: a full disk, too many open files, an error of a device or
// of a server of files.
var lasting = []struct {
	errno  syscall.Errno
	advice string
}{
	{syscall.EACCES, "give the user of this process the right to read, write and search the directory"},
	{syscall.EPERM, "give the user of this process the right to read, write and search the directory"},
	{syscall.EROFS, "the file system is mounted read-only: mount it for writing, or choose another directory"},
	{syscall.ENOTDIR, "a part of the path is no directory: remove it, or choose another directory"},
	{syscall.EISDIR, "a directory stands where a file of the store belongs: move it away"},
	{syscall.ENAMETOOLONG, "choose a shorter path for the directory"},
	{syscall.ELOOP, "links on the path of the directory lead in a circle"},
}

// Word implements adapter.Worder: it adds what to do to an error that waiting does
// not cure, and marks it.
func (s *Store) Word(err error) error { return word(err) }

func word(err error) error {
	if err == nil || store.ClassOf(err) != store.Unreached {
		return err
	}
	for _, l := range lasting {
		if errors.Is(err, l.errno) {
			return store.MarkPermanent(fmt.Errorf("%w (%s)", err, l.advice))
		}
	}
	return err
}
