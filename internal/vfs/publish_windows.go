package vfs

import (
	"os"
	"path/filepath"
	"syscall"
)

// publish uses MoveFile, which, unlike MoveFileEx, replaces nothing.
func (d *osDir) publish(oldname, newname string) error {
	from, err := syscall.UTF16PtrFromString(filepath.Join(d.root.Name(), oldname))
	if err != nil {
		return err
	}
	to, err := syscall.UTF16PtrFromString(filepath.Join(d.root.Name(), newname))
	if err != nil {
		return err
	}
	if err := syscall.MoveFile(from, to); err != nil {
		return &os.LinkError{Op: "MoveFile", Old: oldname, New: newname, Err: err}
	}
	return nil
}

// syncDir does nothing: Windows has no sync of a directory; NTFS journals names.
func syncDir(*os.File) error { return nil }
