package durable_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/adaptertest"
	"github.com/durablestate/durable/internal/envelope"
)

func TestFileAdapterKeepsTheContract(t *testing.T) {
	var dirs sync.Map // directory by adapter
	open := func(t *testing.T, dir string) durable.StateAdapter {
		a, err := durable.NewFileAdapter(dir, nil)
		require.NoError(t, err)
		dirs.Store(a, dir)
		return a
	}
	dirOf := func(a durable.StateAdapter) string {
		dir, _ := dirs.Load(a)
		return dir.(string)
	}
	adaptertest.Run(t, adaptertest.Store{
		Open:   func(t *testing.T) durable.StateAdapter { return open(t, t.TempDir()) },
		Reopen: func(t *testing.T, a durable.StateAdapter) durable.StateAdapter { return open(t, dirOf(a)) },
		Wipe: func(t *testing.T, a durable.StateAdapter, id string) {
			for _, f := range generationFiles(t, dirOf(a), id) {
				require.NoError(t, os.Remove(f))
			}
		},
		Corrupt: func(t *testing.T, a durable.StateAdapter, id string) {
			files := generationFiles(t, dirOf(a), id)
			newest := files[len(files)-1]
			b, err := os.ReadFile(newest)
			require.NoError(t, err)
			b[len(b)-1] ^= 1
			require.NoError(t, os.WriteFile(newest, b, 0o600))
		},
	})
}

// generationFiles returns the commit files that hold a generation of id alone,
// oldest first.
func generationFiles(t *testing.T, dir, id string) (files []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "c-*"))
	require.NoError(t, err)
	slices.Sort(all)
	for _, f := range all {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		if h, err := envelope.ParseHeader(b); err == nil && h.ID == id && h.Kind == envelope.Snapshot {
			files = append(files, f)
		}
	}
	return files
}
