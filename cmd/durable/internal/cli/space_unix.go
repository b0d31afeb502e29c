//go:build unix && !solaris && !aix && !netbsd && !openbsd

package cli

import "syscall"

// freeSpace returns the bytes that are free for this user, and all, of the file
// system that holds dir.
func freeSpace(dir string) (free, total int64, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, 0, err
	}
	return int64(fs.Bavail) * int64(fs.Bsize), int64(fs.Blocks) * int64(fs.Bsize), nil
}
