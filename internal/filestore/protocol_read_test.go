package filestore_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

func TestErrorsOfReadingAreNeverAFallback(t *testing.T) {
	dir := t.TempDir()
	s, h := openHooked(t, dir)
	save(t, s, "c", 1, 1, "old")
	save(t, s, "c", 1, 2, "new")
	for _, errno := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EACCES, syscall.EPERM, syscall.ENOMEM, syscall.EIO} {
		for _, step := range []string{"open c-0000000000000002", "read c-0000000000000002"} {
			h.on(func(op string) error {
				if op == step {
					return errno
				}
				return nil
			})
			_, err := s.Load(ctx, "c")
			require.ErrorIs(t, err, errno)
			require.False(t, errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrLost))
			_, err = s.History(ctx, "c")
			require.ErrorIs(t, err, errno)
			_, err = s.LoadVersion(ctx, "c", 2)
			require.ErrorIs(t, err, errno)
		}
	}
	h.on(nil)
	data, _, last := loaded(t, s, "c")
	require.Equal(t, "new", data)
	require.EqualValues(t, 2, last)
}

func TestReadErrorIsTriedOnce(t *testing.T) {
	s, h := openHooked(t, t.TempDir())
	save(t, s, "c", 1, 1, "old")
	failed := false
	h.on(func(op string) error {
		if strings.HasPrefix(op, "read") && !failed {
			failed = true
			return syscall.EIO
		}
		return nil
	})
	data, _, _ := loaded(t, s, "c")
	require.Equal(t, "old", data)
	require.True(t, failed)
}

func TestOpeningFailsWhenACommitCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "old")
	require.NoError(t, s.Close())
	d, err := vfs.Open(dir)
	require.NoError(t, err)
	_, err = newStore(&hooked{Dir: d, hook: func(op string) error {
		if op == "open c-0000000000000001" {
			return syscall.EMFILE
		}
		return nil
	}})
	require.ErrorIs(t, err, syscall.EMFILE)
}
