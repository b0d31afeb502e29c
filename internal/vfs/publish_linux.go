package vfs

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

const renameNoReplace = 1

// renameat2 is the number of the system call, which package syscall lacks; 0 on
// architectures we do not know it for.
var renameat2 = map[string]uintptr{
	"386": 353, "amd64": 316, "arm": 382, "arm64": 276, "loong64": 276, "riscv64": 276, "s390x": 347,
	"mips": 4351, "mipsle": 4351, "mips64": 5311, "mips64le": 5311, "ppc64": 357, "ppc64le": 357,
}[runtime.GOARCH]

// publish prefers rename to link: some file systems lost hard links in a crash.
// File systems without RENAME_NOREPLACE (NFS) answer EINVAL.
func (d *osDir) publish(oldname, newname string) error {
	errno := syscall.ENOSYS
	if renameat2 != 0 {
		var err error
		if errno, err = d.renameNoReplace(oldname, newname); err != nil {
			return err
		}
	}
	switch errno {
	case 0:
		return nil
	case syscall.EINVAL, syscall.ENOSYS, syscall.ENOTSUP:
		return d.publishByLink(oldname, newname)
	}
	return &os.LinkError{Op: "renameat2", Old: oldname, New: newname, Err: errno}
}

func (d *osDir) renameNoReplace(oldname, newname string) (errno syscall.Errno, err error) {
	from, err := syscall.BytePtrFromString(oldname)
	if err != nil {
		return 0, err
	}
	to, err := syscall.BytePtrFromString(newname)
	if err != nil {
		return 0, err
	}
	err = control(d.handle, func(fd uintptr) error {
		for {
			_, _, errno = syscall.Syscall6(renameat2, fd, uintptr(unsafe.Pointer(from)), fd, uintptr(unsafe.Pointer(to)), renameNoReplace, 0)
			if errno != syscall.EINTR {
				return nil
			}
		}
	})
	return errno, err
}
