//go:build !unix || solaris || aix || netbsd || openbsd

package cli

import "errors"

// freeSpace returns an error: how to ask differs.
func freeSpace(string) (free, total int64, err error) {
	return 0, 0, errors.New("free space cannot be asked for on this system")
}
