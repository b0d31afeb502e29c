//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package vfs

import "syscall"

func (l *osLock) take(exclusive bool) (bool, error) {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	err := control(l.f, func(fd uintptr) error {
		for {
			err := syscall.Flock(int(fd), how|syscall.LOCK_NB)
			if err != syscall.EINTR {
				return err
			}
		}
	})
	if err == syscall.EWOULDBLOCK {
		return false, nil
	}
	return err == nil, err
}

// Atomic is false: flock gives the old lock up before it tries the new one.
func (l *osLock) Atomic() bool { return false }
