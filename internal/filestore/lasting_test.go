package filestore_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
)

func TestWhatSomebodyMustMendIsNotWaitedFor(t *testing.T) {
	s, err := filestore.Open(t.TempDir(), filestore.Options{Keep: 3})
	require.NoError(t, err)
	defer s.Close()
	for errno, class := range map[syscall.Errno]store.Class{
		syscall.EACCES: store.Permanent, syscall.EPERM: store.Permanent, syscall.EROFS: store.Permanent, syscall.ENOTDIR: store.Permanent,
		syscall.ENAMETOOLONG: store.Permanent, syscall.EISDIR: store.Permanent, syscall.ELOOP: store.Permanent,
		syscall.ENOSPC: store.Unreached, syscall.EDQUOT: store.Unreached, syscall.EMFILE: store.Unreached, syscall.ENFILE: store.Unreached,
		syscall.EIO: store.Unreached, syscall.ESTALE: store.Unreached, syscall.ENOMEM: store.Unreached, syscall.EINTR: store.Unreached,
	} {
		err := s.Word(fmt.Errorf("save: %w", &fs.PathError{Op: "open", Path: "d", Err: errno}))
		require.Equal(t, class, store.ClassOf(err), "%v", errno)
		require.ErrorIs(t, err, errno)
		require.Equal(t, class == store.Permanent, strings.HasSuffix(err.Error(), ")"), "says what to do: %v", err)
	}
}

func TestAPlaceThatIsNoDirectoryIsRefusedForGood(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("somebody's"), 0o600))
	for _, path := range []string{file, filepath.Join(file, "below"), filepath.Join(t.TempDir(), strings.Repeat("x", 300))} {
		_, err := filestore.Open(path, filestore.Options{Keep: 3})
		require.Error(t, err)
		require.Equal(t, store.Permanent, store.ClassOf(err), "%s: %v", path, err)
	}
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "somebody's", string(kept))
}
