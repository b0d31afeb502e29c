package filestore_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFullDiskLeavesTheOldGeneration(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	s := open(t, filepath.Join(dir, "store"))
	save(t, s, "c", 1, 1, "old")
	require.ErrorIs(t, s.Save(ctx, "c", snap(1, 2, string(make([]byte, 1<<20)))), syscall.ENOSPC)
	data, _, last := loaded(t, s, "c")
	require.Equal(t, "old", data)
	require.EqualValues(t, 1, last)
	save(t, s, "c", 1, 2, "new")
	require.Empty(t, list(t, filepath.Join(dir, "store"), ".t-"))
}
