//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd && !windows

package vfs

import "errors"

func (l *osLock) take(bool) (bool, error) { return false, errors.ErrUnsupported }
func (l *osLock) Atomic() bool            { return false }
