package vfs

import (
	"syscall"
	"unsafe"
)

var (
	kernel32     = syscall.NewLazyDLL("kernel32.dll")
	lockFileEx   = kernel32.NewProc("LockFileEx")
	unlockFileEx = kernel32.NewProc("UnlockFileEx")
)

const (
	failImmediately = 1
	exclusiveLock   = 2

	errNotLocked     = syscall.Errno(158)
	errLockViolation = syscall.Errno(33)
	errIOPending     = syscall.Errno(997)
)

// take gives the old lock up first: LockFileEx does not turn one into the other.
func (l *osLock) take(exclusive bool) (bool, error) {
	flags := uintptr(failImmediately)
	if exclusive {
		flags |= exclusiveLock
	}
	err := control(l.f, func(fd uintptr) error {
		var unlock, lock syscall.Overlapped
		if r, _, err := unlockFileEx.Call(fd, 0, 1, 0, uintptr(unsafe.Pointer(&unlock))); r == 0 && err != errNotLocked {
			return err
		}
		if r, _, err := lockFileEx.Call(fd, flags, 0, 1, 0, uintptr(unsafe.Pointer(&lock))); r == 0 {
			return err
		}
		return nil
	})
	if err == errLockViolation || err == errIOPending {
		return false, nil
	}
	return err == nil, err
}

// Atomic is false, see take.
func (l *osLock) Atomic() bool { return false }
