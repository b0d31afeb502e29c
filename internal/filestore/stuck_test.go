package filestore_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/vfs"
)

func TestOneFileThatCannotBeReadDoesNotEndCompaction(t *testing.T) {
	for what, c := range map[string]struct {
		first string
		err   error
	}{
		"a sector that does not read":    {"small", syscall.EIO},
		"a state above the limit by now": {strings.Repeat("large", 5000), nil},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			save(t, s, "first", 1, 1, c.first)
			for i := range 20 {
				save(t, s, fmt.Sprint("c", i), 1, 1, "small")
			}
			require.NoError(t, s.Close())
			d, err := vfs.Open(dir)
			require.NoError(t, err)
			h := &hooked{Dir: d}
			s, err = filestore.New(h, filestore.Options{Keep: 1, CleanEvery: 1, MaxBytes: 10_000, Serial: true, Compact: filestore.Compaction{Slack: 1 << 30, Files: 5, Merge: 2}})
			require.NoError(t, err)
			h.on(func(op string) error {
				if op == "read c-0000000000000001" {
					return c.err
				}
				return nil
			})
			save(t, s, "last", 1, 1, "small")
			save(t, s, "last", 1, 2, "small") // once all is cleaned up
			require.NoError(t, s.Close())
			require.Less(t, len(commits(t, dir)), 8)
		})
	}
}
