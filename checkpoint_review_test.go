package durable_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestACheckpointThatEndsAsItsContextEndsDoesNotPassForOneThatSavedAll lets the
// first save return at the very moment at which the context ends, which is when a
// select takes either.
func TestACheckpointThatEndsAsItsContextEndsDoesNotPassForOneThatSavedAll(t *testing.T) {
	for range 50 {
		bubble(t, func(t *testing.T) {
			a := newFlaky()
			h := prepare(t, a, nil)
			slow := &summed{}
			require.NoError(t, h.Register("slow", slow))
			_, err := h.Restore(t.Context())
			require.NoError(t, err)
			h.words.add("a")
			slow.add(1)
			a.on("save", func(id string) error {
				time.Sleep(map[string]time.Duration{"words": time.Second, "slow": 5 * time.Second}[id])
				return nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err = h.Checkpoint(ctx)
			_, loading := a.LoadState(t.Context(), "slow")
			require.NoError(t, h.Close())
			if err == nil {
				require.NoError(t, loading, "nil from Checkpoint, but a component is not stored")
			}
		})
	}
}
