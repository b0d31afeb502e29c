package recovery_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestAFreshStartAfterALossSetsTheOlderGenerationAside(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["older"] = 1 }))
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["newest"] = 1 }))
		require.NoError(t, h.Close())
		testkit.Memory(t, a).Edit("words", func([]byte) []byte { return nil }) // evicted
		o := testkit.Quiet()
		o.Restore = durable.FreshIfUnreadable
		h = testkit.Start(t, a, o)
		require.Equal(t, durable.Lost, h.Outcome(t))
		for range 5 { // retention takes the older generation
			require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["new"]++ }))
		}
		require.NoError(t, h.Close())
		found := false
		for id, err := range a.ListComponents(ctx) {
			require.NoError(t, err)
			if id != "words" {
				s, err := a.LoadState(ctx, id)
				require.NoError(t, err)
				require.Contains(t, string(s.Data), "older")
				found = true
			}
		}
		require.True(t, found, "the old bytes are set aside, never overwritten")
	})
}

func TestARejectedStateIsKeptAndNotOverwritten(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		old := &durable.Snapshot{Codec: "json", Data: []byte(`{"Words": 5}`)}
		require.NoError(t, a.SaveState(ctx, "words", old))
		h := testkit.Prepare(t, a, nil)
		report, err := h.Restore(ctx)
		require.Error(t, err)
		require.Equal(t, durable.Rejected, report.Results[0].Outcome)
		require.NotContains(t, err.Error(), `"Words": 5`)
		require.NoError(t, h.Close())

		o := testkit.Quiet()
		o.Restore = durable.FreshIfUnreadable
		h = testkit.Start(t, a, o)
		for i := range 10 { // more than are kept
			require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["new"] = i }))
		}
		require.NoError(t, h.Close())
		kept := 0
		for id, err := range a.ListComponents(ctx) {
			require.NoError(t, err)
			if strings.HasPrefix(id, "~aside/") {
				s, err := a.LoadState(ctx, id)
				require.NoError(t, err)
				require.Equal(t, old.Data, s.Data)
				kept++
			}
		}
		require.Equal(t, 1, kept)
	})
}
