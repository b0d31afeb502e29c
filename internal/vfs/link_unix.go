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

func syncDir(d *os.File) error {
	err := d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return ErrSyncUnsupported
	}
	return err
}
