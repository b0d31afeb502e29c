package saver_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// unwrapping is a wrapper that adds nothing.
type unwrapping struct{ durable.StateAdapter }

func (u unwrapping) Unwrap() durable.StateAdapter { return u.StateAdapter }

func TestASpillThatIsTheAdapterItselfIsRefusedAndDeletesNothing(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		require.NoError(t, a.SaveState(ctx, "words", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words":{"x":1}}`)}))
		o := testkit.Quiet()
		o.Spill = unwrapping{a}
		cp := durable.New(a, o)
		_, err := cp.Restore(ctx)
		require.ErrorContains(t, err, "Spill")
		require.NoError(t, cp.Close())
		_, err = a.LoadState(ctx, "words")
		require.NoError(t, err)
	})
}

// outageAtClose restores, changes the state and closes while the store is down.
func outageAtClose(t *testing.T, a *testkit.Flaky, through, spill durable.StateAdapter, word string) {
	t.Helper()
	o := testkit.Quiet()
	o.Spill = spill
	h := testkit.Start(t, through, o)
	h.Words.Add(word)
	a.Down("save", "refresh")
	require.Error(t, h.Close())
	a.Up("save", "refresh")
	_, err := spill.LoadState(t.Context(), "words")
	require.NoError(t, err, "%q was not spilled", word)
}

func TestEveryOutageIsSpilledWithoutOwnershipToo(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, spill := testkit.NewFlaky(), durable.NewMemoryAdapter(nil)
		for _, word := range []string{"one", "two", "three", "four"} {
			outageAtClose(t, a, testkit.FourMethods{StateAdapter: a}, spill, word)
		}
		o := testkit.Quiet()
		o.Spill = spill
		h := testkit.Start(t, testkit.FourMethods{StateAdapter: a}, o)
		for _, word := range []string{"one", "two", "three", "four"} {
			require.Equal(t, 1, h.Words.Count(word), word)
		}
		require.NoError(t, h.Close())
	})
}

func TestASpillGoesAboveWhatWasSpilledBefore(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a, spill := testkit.NewFlaky(), durable.NewMemoryAdapter(nil)
		o := testkit.Quiet()
		o.Spill = spill
		h := testkit.Start(t, a, o)
		a.Down("save", "refresh")
		h.Words.Add("old")
		time.Sleep(time.Hour) // every attempt takes a version
		require.Error(t, h.Close())
		a.Up("save", "refresh")

		h = testkit.Start(t, a, nil) // another node goes on from the store
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["new"] = 1 }))
		require.NoError(t, h.Close())

		outageAtClose(t, a, a, spill, "final") // sets "old" aside first
		o = testkit.Quiet()
		o.Spill = spill
		h = testkit.Start(t, a, o)
		require.Equal(t, 1, h.Words.Count("final"))
		require.Equal(t, 1, h.Words.Count("new"))
		require.NoError(t, h.Close())
	})
}

func TestASpillThatTheStoreCannotHoldIsAnAnswerAndStays(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a, spill := testkit.NewFlaky(), durable.NewMemoryAdapter(nil)
		outageAtClose(t, a, a, spill, "large")
		a.On("save", func(string) error { return &durable.Error{Op: "save", Err: durable.ErrTooLarge} })
		o := testkit.Quiet()
		o.Spill = spill
		h := testkit.Prepare(t, a, o)
		_, err := h.Restore(ctx)
		require.ErrorIs(t, err, durable.ErrTooLarge, "not tried for ever")
		require.NoError(t, h.Close())
		_, err = spill.LoadState(ctx, "words")
		require.NoError(t, err)
	})
}

func TestWithoutOwnershipADeletedStateStaysDeletedToo(t *testing.T) { // P5
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.FourMethods{StateAdapter: durable.NewMemoryAdapter(nil)}
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["old"] = 1 }))
		require.NoError(t, a.DeleteState(ctx, "words"))
		require.ErrorIs(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["more"] = 1 }), durable.ErrFenced)
		_, err := a.LoadState(ctx, "words")
		require.True(t, errors.Is(err, durable.ErrNotFound), "resurrected: %v", err)
		require.Error(t, h.Close())
	})
}

func TestWhatCannotBeSavedAtCloseIsSpilledAndRestored(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a, spill := testkit.NewFlaky(), durable.NewMemoryAdapter(nil)
		opts := func() *durable.Options {
			o := testkit.Quiet()
			o.Spill = spill
			return o
		}
		h := testkit.Start(t, a, opts())
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["acked"] = 1 }))
		h.Words.Add("final")
		a.Down("save", "refresh", "renew")
		var unsaved *durable.CloseError
		require.ErrorAs(t, testkit.CloseWithin(t, h, 20*time.Second), &unsaved, "what was spilled is still listed")
		a.Up("save", "refresh", "renew")

		h = testkit.Start(t, a, opts())
		require.Equal(t, 1, h.Words.Count("final"))
		require.NoError(t, h.Close())
		_, err := spill.LoadState(ctx, "words")
		require.ErrorIs(t, err, durable.ErrNotFound, "it was written back")
	})
}

func TestASpillThatIsOlderThanTheStoreIsSetAside(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a, spill := testkit.NewFlaky(), durable.NewMemoryAdapter(nil)
		o := testkit.Quiet()
		o.Spill = spill
		h := testkit.Start(t, a, o)
		h.Words.Add("spilled")
		a.Down("save", "refresh")
		require.Error(t, h.Close())
		a.Up("save", "refresh")

		h = testkit.Start(t, a, nil) // on another node, without that spill directory
		require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["newer"] = 1 }))
		require.NoError(t, h.Close())

		o = testkit.Quiet()
		o.Spill = spill
		h = testkit.Start(t, a, o)
		require.Equal(t, 1, h.Words.Count("newer"))
		require.Zero(t, h.Words.Count("spilled"))
		require.NoError(t, h.Close())
		aside := 0
		for id, err := range spill.ListComponents(ctx) {
			require.NoError(t, err)
			s, err := spill.LoadState(ctx, id)
			require.NoError(t, err)
			require.Contains(t, string(s.Data), "spilled", "never silently dropped")
			aside++
		}
		require.Equal(t, 1, aside)
	})
}

func TestASpillIsTriedAlsoWhenTheStoreHangs(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		spill := durable.NewMemoryAdapter(nil)
		o := testkit.Quiet()
		o.Spill = spill
		h := testkit.Start(t, testkit.Hanging{MemoryAdapter: durable.NewMemoryAdapter(nil)}, o)
		h.Words.Add("final")
		require.Error(t, testkit.CloseWithin(t, h, 20*time.Second))
		s, err := spill.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "final")
	})
}
