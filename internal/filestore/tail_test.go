package filestore_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/vfs"
)

// What is moved may be superseded before it is published: then nothing refers to
// the newest file. A reader that has seen it looks only at greater numbers.
func TestTheNewestNumberIsNotGivenTwice(t *testing.T) {
	dir := t.TempDir()
	d, err := vfs.Open(dir)
	require.NoError(t, err)
	h := &hooked{Dir: d}
	s, err := filestore.New(h, filestore.Options{Keep: 1, CleanEvery: 3, Compact: filestore.Compaction{Slack: 1 << 30, Files: 1, Merge: 2}})
	require.NoError(t, err)
	reader := open(t, dir)
	moving, superseded, removing := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var seen sync.Once
	published := ""
	h.on(func(op string) error {
		switch {
		case op == "create temp" && published == "publish c-0000000000000003":
			published = ""
			close(moving)
			<-superseded
		case strings.HasPrefix(op, "publish "):
			published = op
		case strings.HasPrefix(op, "remove c-"):
			seen.Do(func() { _, _ = reader.Fence(ctx, "a"); close(removing) })
		}
		return nil
	})
	for _, id := range []string{"a", "b", "c"} {
		require.NoError(t, s.Claim(ctx, id, 1))
	}
	<-moving
	for _, id := range []string{"a", "b", "c"} {
		save(t, s, id, 2, 1, strings.Repeat("too large to be moved", 4000))
	}
	close(superseded)
	<-removing
	require.NoError(t, s.Close())

	save(t, open(t, dir), "x", 1, 1, "acknowledged")
	data, _, _ := loaded(t, reader, "x")
	require.Equal(t, "acknowledged", data)
}
