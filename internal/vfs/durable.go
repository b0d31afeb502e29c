package vfs

import (
	"errors"
	"fmt"
)

// ErrNotDurable is the error of a file system that loses what was synced, or of
// which that is not known.
var ErrNotDurable = errors.New("the file system may lose what was synced")

// notDurable returns ErrNotDurable with the reason.
func notDurable(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotDurable}, args...)...)
}
