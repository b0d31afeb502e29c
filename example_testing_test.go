package durable_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

// How to test a component of your own: the memory adapter needs no server, and in
// a synctest bubble an hour takes no time. There is nothing to mock: the second
// Checkpointer is the restart.
func TestExample_a_counter_survives_a_crash_but_for_the_last_minute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := durable.NewMemoryAdapter(nil)
		boot := func() (*Counter, *durable.Checkpointer) {
			c := &Counter{}
			cp := durable.New(store, &durable.Options{Holder: "test", Interval: time.Minute, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, cp.Register("word_counter", c))
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			require.NoError(t, cp.Start())
			return c, cp
		}

		c, cp := boot()
		c.Count("early")
		time.Sleep(time.Hour)
		c.Count("late") // after the last checkpoint

		again, cp2 := boot() // the first process was killed: it never closed
		again.View(func(s *seen) { require.Equal(t, map[string]int{"early": 1}, s.Words) })

		require.NoError(t, cp2.Close())
		require.Error(t, cp.Close()) // and what it had left is refused
	})
}
