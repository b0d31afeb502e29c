package filestore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
)

// A crash between the commit of moved records and the deletion of the originals
// leaves both. Should the moved ones be damaged then, the originals count.
func TestAMovedCopyThatIsCutOffDoesNotReplaceItsOriginal(t *testing.T) {
	dir := t.TempDir()
	const components = 40
	s, err := filestore.Open(dir, filestore.Options{Keep: 2})
	require.NoError(t, err)
	for i := range components {
		save(t, s, fmt.Sprint("c", i), 1, 1, fmt.Sprint("state ", i))
	}
	require.NoError(t, s.Close())
	before := contents(t, dir)

	s, err = filestore.Open(dir, filestore.Options{Keep: 2, CleanEvery: 1, Serial: true, Compact: filestore.Compaction{Files: 1, Merge: 2}})
	require.NoError(t, err)
	save(t, s, "last", 1, 1, "one more")
	save(t, s, "last", 1, 2, "one more")
	require.NoError(t, s.Close())
	moved := 0
	for name, b := range contents(t, dir) {
		if _, old := before[name]; !old && isMoved([]byte(b)) {
			require.NoError(t, os.Truncate(filepath.Join(dir, name), int64(len(b)*6/10)))
			moved++
		}
	}
	require.NotZero(t, moved, "nothing was compacted")
	for name, b := range before {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(b), 0o600))
	}

	r := open(t, dir)
	for i := range components {
		data, version, last := loaded(t, r, fmt.Sprint("c", i))
		require.Equal(t, [3]any{fmt.Sprint("state ", i), uint64(1), uint64(1)}, [3]any{data, version, last})
	}
}

func contents(t testing.TB, dir string) map[string]string {
	found := map[string]string{}
	for _, name := range commits(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		found[name] = string(b)
	}
	return found
}
