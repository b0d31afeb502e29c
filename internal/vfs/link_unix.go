//go:build unix

package vfs

import (
	"errors"
	"os"
	"syscall"
)

// publishByLink gives the file its new name by link(2), which replaces nothing
// on any file system, and takes the old name away. Both names may be seen for a
// moment, and after a crash; the old one is a temporary that is cleaned up.
func (d *osDir) publishByLink(oldname, newname string) error {
	if err := d.root.Link(oldname, newname); err != nil {
		return err
	}
	// The file is published. An old name that stays is litter, not an error.
	_ = d.root.Remove(oldname)
	return nil
}

// syncDir looks at the directory after the sync: XFS reports success for the
// sync of a directory whose journal could not be written (it asks whether the
// inode still waits for the journal, and giving up ends the wait), but answers
// EIO to everything else from the moment it gave up.
func syncDir(d *os.File) error {
	err := d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return ErrSyncUnsupported
	}
	if err == nil {
		_, err = d.Stat()
	}
	return err
}
