package recovery_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestAFreshStartAfterAHalfAppliedRestoreIsFresh(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		require.NoError(t, a.SaveState(ctx, "w", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words":{"poison":1}}`)}))
		o := testkit.Quiet()
		o.Restore = durable.FreshIfUnreadable
		cp := durable.New(a, o)
		w := &picky{}
		require.NoError(t, cp.Register("w", w))
		report, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.Equal(t, durable.Rejected, report.Results[0].Outcome)
		require.Zero(t, w.Count("poison"))
		require.NoError(t, cp.Close())
	})
}

// picky does not like a restored state, and says so when it has it already.
type picky struct{ testkit.WordCounter }

func (p *picky) InitState() {
	if p.Count("poison") > 0 {
		panic("poison")
	}
}

func TestAFreshStartForgetsTheVersionOfTheDeletedState(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["old"] = 1 }))
		require.NoError(t, a.DeleteState(ctx, "words"))
		_, err := h.Restore(ctx)
		require.NoError(t, err)
		require.Zero(t, h.Status()[0].Version, "nothing is stored")
		a.Down("save")
		h.Words.Add("x")
		require.ErrorContains(t, h.Close(), "never saved")
	})
}

func TestAFreshStartBeginsFromWhatWasSetUp(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		cp := durable.New(a, testkit.Quiet())
		c := durable.NewStatefulComponent(testkit.Counts{Words: map[string]int{"initial": 1}})
		require.NoError(t, cp.Register("c", c))
		c.Update(func(c *testkit.Counts) { c.Words["updated"] = 1 })
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, c.Commit(ctx, func(c *testkit.Counts) { c.Words["later"] = 1 }))
		require.NoError(t, a.DeleteState(ctx, "c"))
		require.ErrorIs(t, c.CheckpointState(ctx), durable.ErrFenced)
		_, err = cp.Restore(ctx)
		require.NoError(t, err)
		c.View(func(c *testkit.Counts) { require.Equal(t, map[string]int{"initial": 1, "updated": 1}, c.Words) })
		require.NoError(t, cp.Close())
	})
}
