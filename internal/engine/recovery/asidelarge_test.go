package recovery_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/testkit"
)

func TestADamagedStateOfTheGreatestSizeIsSetAside(t *testing.T) {
	const limit = 4096
	large := &durable.Snapshot{Data: []byte(strings.Repeat("work", limit/4))}
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		open := func() *durable.FileAdapter {
			a, err := durable.NewFileAdapter(dir, &durable.FileOptions{MaxStateBytes: limit})
			require.NoError(t, err)
			return a
		}
		a := open()
		require.NoError(t, a.SaveState(t.Context(), "words", large))
		require.NoError(t, a.Close())
		all, err := filepath.Glob(filepath.Join(dir, "c-*"))
		require.NoError(t, err)
		for _, f := range all {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(f, bytes.Replace(b, []byte("work"), []byte("rust"), 1), 0o600))
		}
		a = open()
		defer a.Close()
		require.Equal(t, durable.Corrupt, workOn(t, a, unreadableOK()))
		requireAside(t, a, "rust")
	})
	t.Run("redis_server", func(t *testing.T) {
		s, prefix := redistest.Shared(t), "aside:"+rand.Text()+":"
		a := testkit.OpenRedis(t, s.URL(), &durable.RedisOptions{KeyPrefix: prefix, MaxStateBytes: limit})
		require.NoError(t, a.SaveState(t.Context(), "words", large))
		c := s.Client(t)
		v := c.Get(t.Context(), prefix+"words").Val()
		require.NoError(t, c.Set(t.Context(), prefix+"words", strings.Replace(v, "work", "rust", 1), 0).Err())
		require.Equal(t, durable.Corrupt, workOn(t, a, unreadableOK()))
		requireAside(t, a, "rust")
	})
}
