package filestore_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/vfs"
)

func TestMakingRoomOnAFullDiskDoesNotWaitForItself(t *testing.T) {
	d, err := vfs.Open(t.TempDir())
	require.NoError(t, err)
	h := &hooked{Dir: d}
	s, err := filestore.New(h, filestore.Options{Keep: 1, CleanEvery: 1 << 20, Compact: filestore.Compaction{Slack: 1, Files: 4, Merge: 2}})
	require.NoError(t, err)
	for _, id := range strings.Split("abcdefgh", "") {
		save(t, s, id, 1, 1, "small")
	}
	full := true
	h.on(func(op string) error {
		if op == "write temp" && full {
			full = false
			return syscall.ENOSPC
		}
		return nil
	})
	done := make(chan error, 1)
	go func() { done <- s.Save(ctx, "a", snap(1, 2, "more")) }()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("the save waits for ever")
	}
	require.NoError(t, s.Close())
}
