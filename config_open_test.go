package durable_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

type tally struct{ N int }

// openTally opens the configuration, restores one component and returns both.
func openTally(t *testing.T, cfg *durable.Config) (*durable.Checkpointer, *durable.StatefulComponent[tally]) {
	t.Helper()
	cp, err := cfg.Open(t.Context())
	require.NoError(t, err)
	c := durable.NewStatefulComponent(tally{})
	require.NoError(t, cp.Register("tally", c))
	_, err = cp.Restore(t.Context())
	require.NoError(t, err)
	return cp, c
}

func parse(t *testing.T, yaml string) *durable.Config {
	t.Helper()
	cfg, err := durable.ParseConfig([]byte(yaml))
	require.NoError(t, err)
	return cfg
}

func TestConfig_open_keeps_state_in_files_from_one_start_to_the_next(t *testing.T) {
	t.Setenv("STATE_DIR", t.TempDir())
	cfg := parse(t, "state_persistence: {adapter: file, directory: '${STATE_DIR}/state', system: s}")
	for want := range 3 {
		cp, c := openTally(t, cfg)
		c.View(func(s *tally) { require.Equal(t, want, s.N) })
		c.Update(func(s *tally) { s.N++ })
		require.NoError(t, cp.Close())
	}
}

func TestConfig_open_makes_Close_close_the_adapter_and_the_spill(t *testing.T) {
	t.Setenv("SPILL_DIR", t.TempDir())
	cfg := parse(t, "state_persistence: {adapter: memory, spill_directory: '${SPILL_DIR}'}")
	cp, _ := openTally(t, cfg)
	require.NoError(t, cp.Close())
	closers := durable.Closers(cp)
	require.Len(t, closers, 2)
	for _, c := range closers {
		_, err := c.(durable.StateAdapter).LoadState(t.Context(), "tally")
		require.ErrorIs(t, err, durable.ErrClosed)
	}
	require.Nil(t, cfg.Options.Spill, "Open must not change the Config")
}

func TestConfig_a_spill_set_in_code_takes_the_place_of_spill_directory_and_stays_open(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spill")
	t.Setenv("SPILL_DIR", dir)
	cfg := parse(t, "state_persistence: {adapter: memory, spill_directory: '${SPILL_DIR}'}")
	spill := durable.NewMemoryAdapter(nil)
	cfg.Options.Spill = spill
	cp, _ := openTally(t, cfg)
	require.NoError(t, cp.Close())
	_, err := spill.LoadState(t.Context(), "tally")
	require.ErrorIs(t, err, durable.ErrNotFound)
	require.NoDirExists(t, dir)
}

func TestConfig_an_address_that_the_client_refuses_is_an_error_without_the_address(t *testing.T) {
	t.Setenv("REDIS_URL", "redis://app:hunter2@redis.example:port/0")
	cfg := parse(t, "state_persistence: {adapter: redis, redis_url: '${REDIS_URL}'}")
	for range 2 {
		cp, err := cfg.Open(t.Context())
		require.Error(t, err)
		require.Nil(t, cp)
		require.NotContains(t, err.Error(), "hunter2")
	}
	a, err := cfg.OpenAdapter(t.Context())
	require.Error(t, err)
	require.True(t, a == nil, "a nil adapter in an interface that is not nil")
}

func TestConfig_opening_warns_of_a_directory_in_memory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: needs a Linux tmpfs")
	}
	dir, err := os.MkdirTemp("/dev/shm", "durable")
	if err != nil {
		t.Skipf("SKIPPED: needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	j := &journal{}
	cfg, err := durable.ParseConfig([]byte("state_persistence: {adapter: file, directory: " + dir + "}"))
	require.NoError(t, err)
	cfg.Options.Logger = j.options().Logger
	a, err := cfg.OpenAdapter(t.Context())
	require.NoError(t, err)
	require.NoError(t, a.Close())
	require.Equal(t, 1, j.lineCount("may not keep state through a power cut"))
}
