package filestore_test

import (
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/vfs"
)

// noLock is a directory whose lock cannot be opened for a while.
type noLock struct {
	vfs.Dir
	refuse *atomic.Bool
}

func (d noLock) OpenLock(name string, create bool) (vfs.Lock, error) {
	if d.refuse.Load() {
		return nil, syscall.EMFILE
	}
	return d.Dir.OpenLock(name, create)
}

// Nothing is cleaned up before the directory is this store's to write.
func TestASaveThatCannotBecomeAWriterFailsAloneAlsoWhenThereIsMuchToCleanUp(t *testing.T) {
	path := t.TempDir()
	old := open(t, path)
	for v := range uint64(20) {
		save(t, old, "a", 1, v+1, "{}")
	}
	require.NoError(t, old.Close())
	dir, err := vfs.Open(path)
	require.NoError(t, err)
	var refuse atomic.Bool
	refuse.Store(true)
	s, err := filestore.New(noLock{dir, &refuse}, filestore.Options{Keep: 1, CleanEvery: 1})
	require.NoError(t, err)
	defer s.Close()

	require.ErrorIs(t, s.Save(ctx, "a", snap(1, 21, "{}")), syscall.EMFILE)
	refuse.Store(false)
	save(t, s, "a", 1, 21, "{}")
}
