package filestore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
)

// copyStore copies a golden store, which must not be written to.
func copyStore(t *testing.T, from string) (dir string) {
	dir = t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(from)))
	return dir
}

// requireFirstFormat demands what the program saved that wrote testdata/v1.
func requireFirstFormat(t *testing.T, s *filestore.Store) {
	for id, want := range map[string]struct {
		fence store.Fence
		data  string
	}{
		"single":  {store.Fence{Epoch: 1, Version: 2}, `{"n":2}`},
		"c0":      {store.Fence{Epoch: 7, Version: 2}, `{"c0":2}`},
		"c1":      {store.Fence{Epoch: 1, Version: 2}, `{"c1":2}`},
		"c2":      {store.Fence{Epoch: 2, Version: 5}, `{"c2":5}`},
		"claimed": {store.Fence{Epoch: 4}, ""},
	} {
		f, err := s.Fence(ctx, id)
		require.NoError(t, err)
		require.Equal(t, want.fence, f, id)
		got, err := s.Load(ctx, id)
		if want.data == "" {
			require.ErrorIs(t, err, store.ErrNotFound)
			continue
		}
		require.NoError(t, err, id)
		require.Equal(t, want.data, string(got.Data))
		require.Equal(t, got.Version, got.LastVersion)
	}
	infos, err := s.History(ctx, "c1")
	require.NoError(t, err)
	require.Len(t, infos, 2)
	l, err := s.LoadLease(ctx, "lease")
	require.NoError(t, err)
	require.Equal(t, "holder", l.Holder)
}

func TestStoreOfTheFirstFormatIsReadAndGoesOn(t *testing.T) {
	dir := copyStore(t, "testdata/v1")
	requireFirstFormat(t, open(t, dir))

	// Written to and compacted it holds the same, now in the new format.
	s, err := filestore.Open(dir, filestore.Options{Keep: 3, Serial: true, CleanEvery: 1, Compact: filestore.Compaction{Slack: 1, Files: 1, Merge: 2}})
	require.NoError(t, err)
	save(t, s, "new", 1, 1, "{}")
	save(t, s, "new", 1, 2, "{}") // after the compaction that followed the first
	requireFirstFormat(t, s)
	require.NoError(t, s.Close())
	require.NotContains(t, commits(t, dir), "c-0000000000000004", "it was put together with others")
	requireFirstFormat(t, open(t, dir))
}

func TestSecondLineOfASingleStateIsTheState(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, `{"n":1}`)
	b, err := os.ReadFile(newest(t, dir))
	require.NoError(t, err)
	require.Regexp(t, `^DURABLE 01 [^\n]*\n\{"n":1\}$`, string(b))
}

// A large state is written from the caller's memory.
func TestLargeStateIsSavedWithoutAnotherCopy(t *testing.T) {
	s := open(t, t.TempDir())
	save(t, s, "warm", 1, 1, "{}")
	data := make([]byte, 64<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, s.Save(ctx, "c", &store.Snapshot{Epoch: 1, Version: 1, WriteID: "w", Codec: "binary", SavedAt: time.Now(), Data: data}))
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	got, err := s.Load(ctx, "c")
	require.NoError(t, err)
	require.Len(t, got.Data, len(data))
}

func TestUnreadablePartOfAFileKeepsItFromBeingCompacted(t *testing.T) {
	dir := t.TempDir()
	s, err := filestore.Open(dir, filestore.Options{Keep: 3})
	require.NoError(t, err)
	for i := range 4 {
		save(t, s, fmt.Sprint("c", i), 1, 1, "state")
	}
	require.NoError(t, s.Close())
	rotten := filepath.Join(dir, commits(t, dir)[1])
	rot(t, rotten)
	s, err = filestore.Open(dir, filestore.Options{Keep: 3, Serial: true, CleanEvery: 1, Compact: filestore.Compaction{Slack: 1, Files: 1, Merge: 2}})
	require.NoError(t, err)
	save(t, s, "c0", 1, 2, "state")
	save(t, s, "c0", 1, 3, "state") // after the compaction that followed the first
	require.NoError(t, s.Close())
	require.FileExists(t, rotten, "its bytes are kept")
	require.NotContains(t, commits(t, dir), "c-0000000000000001", "all others were put together")
	r := open(t, dir)
	_, err = r.Load(ctx, "c1")
	require.ErrorIs(t, err, store.ErrCorrupt)
	for _, id := range []string{"c0", "c2", "c3"} {
		loaded(t, r, id)
	}
}
