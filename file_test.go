package durable_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

func openFiles(t *testing.T, dir string, opts *durable.FileOptions) *durable.FileAdapter {
	t.Helper()
	a, err := durable.NewFileAdapter(dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}

func TestFileAdapterImplementsAllCapabilities(t *testing.T) {
	var a any = openFiles(t, t.TempDir(), nil)
	require.Implements(t, (*durable.StateAdapter)(nil), a)
	require.Implements(t, (*durable.Owner)(nil), a)
	require.Implements(t, (*durable.Historian)(nil), a)
}

func TestFileAdapterKeepsStateAcrossReopening(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "not", "yet", "there")
	a := openFiles(t, dir, nil)
	_, err := a.LoadState(ctx, "words")
	require.ErrorIs(t, err, durable.ErrNotFound)
	saved := time.Date(2031, 1, 2, 3, 4, 5, 6, time.UTC)
	for v := range uint64(5) {
		require.NoError(t, a.SaveState(ctx, "words", &durable.Snapshot{Epoch: 1, Version: v + 1, WriteID: "w", Schema: 7, Codec: "json", SavedAt: saved, Data: []byte(`{"n":1}`)}))
	}
	require.NoError(t, a.Close())
	require.ErrorIs(t, a.SaveState(ctx, "words", &durable.Snapshot{Data: []byte("x")}), durable.ErrClosed)

	b := openFiles(t, dir, nil)
	got, err := b.LoadState(ctx, "words")
	require.NoError(t, err)
	require.Equal(t, &durable.Snapshot{Epoch: 1, Version: 5, WriteID: "w", Schema: 7, Codec: "json", SavedAt: saved, Data: []byte(`{"n":1}`), LastVersion: 5}, got)
	infos, err := b.ListSnapshots(ctx, "words")
	require.NoError(t, err)
	require.Len(t, infos, 3)
	fi, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), fi.Mode().Perm())
}

func TestFileAdapterRefusesWhatItCannotMean(t *testing.T) {
	for _, opts := range []*durable.FileOptions{{Keep: -1}, {MaxStateBytes: -1}} {
		_, err := durable.NewFileAdapter(t.TempDir(), opts)
		require.Error(t, err)
	}
	_, err := durable.NewFileAdapter("", nil)
	require.Error(t, err)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = durable.NewFileAdapter(file, nil)
	require.Error(t, err)
	require.NotErrorIs(t, err, durable.ErrNotFound)
}

func TestFileAdapterRefusesStateAboveItsLimit(t *testing.T) {
	a := openFiles(t, t.TempDir(), &durable.FileOptions{MaxStateBytes: 4})
	require.NoError(t, a.SaveState(t.Context(), "c", &durable.Snapshot{Data: []byte("four")}))
	require.ErrorIs(t, a.SaveState(t.Context(), "c", &durable.Snapshot{Data: []byte("fiver")}), durable.ErrTooLarge)
}

func TestFileSystemInMemoryIsReportedAndCanBeRefused(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "durable")
	if err != nil {
		t.Skip("needs a writable /dev/shm: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	a := openFiles(t, dir, nil)
	require.ErrorContains(t, a.Durable(), "tmpfs")
	_, err = durable.NewFileAdapter(dir, &durable.FileOptions{RequireDurable: true})
	require.ErrorContains(t, err, "tmpfs")
}
