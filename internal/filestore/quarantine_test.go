package filestore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/store"
)

func TestDamagedFilesStayUntilAPersonRemovesThem(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "rotten")
	rot(t, newest(t, dir))
	_, err := s.Load(ctx, "c")
	require.ErrorIs(t, err, store.ErrCorrupt)
	for v := uint64(2); v <= 6; v++ {
		save(t, s, "c", 1, v, "good")
	}
	require.NoError(t, s.Close())
	note := filepath.Join(dir, "x-notes.txt")
	require.NoError(t, os.WriteFile(note, nil, 0o600))

	s = open(t, dir)
	var names []string
	for name, err := range s.ListDamaged(ctx) {
		require.NoError(t, err)
		names = append(names, name)
	}
	require.Equal(t, []string{"c-0000000000000001"}, names)
	b, err := s.ReadDamaged(ctx, names[0])
	require.NoError(t, err)
	require.Contains(t, string(b), "rotte")
	require.NoError(t, s.RemoveDamaged(ctx, names[0]))
	require.Empty(t, list(t, dir, "x-c"))
	require.FileExists(t, note)
	for _, name := range []string{names[0], "c-0000000000000003", "../LOCK", "notes.txt", ""} {
		require.ErrorIs(t, s.RemoveDamaged(ctx, name), store.ErrNotFound, name)
		_, err := s.ReadDamaged(ctx, name)
		require.ErrorIs(t, err, store.ErrNotFound, name)
	}
}
