package filestore_test

import (
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
)

// A process that opens stores one after the other, as the crash simulator does a
// million times, would otherwise keep all of them between two collections, and
// the collector would wait ever longer.
func TestClose_leaves_nothing_that_keeps_the_store_in_memory(t *testing.T) {
	var closed []weak.Pointer[filestore.Store]
	for range 4 {
		dir := t.TempDir()
		func() {
			s, err := filestore.Open(dir, filestore.Options{Keep: 3})
			require.NoError(t, err)
			save(t, s, "a", 1, 1, "state")
			closed = append(closed, weak.Make(s))
			require.NoError(t, s.Close())
		}()
	}

	runtime.GC()

	alive := 0
	for _, p := range closed[:3] { // the stack may still know the last one
		if p.Value() != nil {
			alive++
		}
	}
	require.Zero(t, alive, "stores that one collection did not free")
}
