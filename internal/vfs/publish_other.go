//go:build !unix && !windows

package vfs

import (
	"errors"
	"os"
)

func (d *osDir) publish(oldname, newname string) error {
	return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: errors.ErrUnsupported}
}

func syncDir(*os.File) error { return ErrSyncUnsupported }
