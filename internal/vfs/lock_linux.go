package vfs

import "syscall"

const setOFDLock = 37 // F_OFD_SETLK

// take uses a lock of the open file description: unlike F_SETLK it is not lost
// when another descriptor of the file is closed, and unlike flock it turns from
// shared to exclusive, or stays shared, in one step.
func (l *osLock) take(exclusive bool) (bool, error) {
	kind := int16(syscall.F_RDLCK)
	if exclusive {
		kind = syscall.F_WRLCK
	}
	err := control(l.f, func(fd uintptr) error {
		for {
			err := syscall.FcntlFlock(fd, setOFDLock, &syscall.Flock_t{Type: kind})
			if err != syscall.EINTR {
				return err
			}
		}
	})
	if err == syscall.EAGAIN || err == syscall.EACCES {
		return false, nil
	}
	return err == nil, err
}

func (l *osLock) Atomic() bool { return true }
