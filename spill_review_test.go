package durable_test

import (
	"errors"
	"testing"
	"time"

	"github.com/durablestate/durable"
	"github.com/stretchr/testify/require"
)

// unwrapping is a wrapper that adds nothing.
type unwrapping struct{ durable.StateAdapter }

func (u unwrapping) Unwrap() durable.StateAdapter { return u.StateAdapter }

func TestASpillThatIsTheAdapterItselfIsRefusedAndDeletesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		require.NoError(t, a.SaveState(ctx, "words", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words":{"x":1}}`)}))
		o := quiet()
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
func outageAtClose(t *testing.T, a *flaky, through, spill durable.StateAdapter, word string) {
	t.Helper()
	o := quiet()
	o.Spill = spill
	h := start(t, through, o)
	h.words.add(word)
	a.down("save", "refresh")
	require.Error(t, h.Close())
	a.up("save", "refresh")
	_, err := spill.LoadState(t.Context(), "words")
	require.NoError(t, err, "%q was not spilled", word)
}

func TestEveryOutageIsSpilledWithoutOwnershipToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, spill := newFlaky(), durable.NewMemoryAdapter(nil)
		for _, word := range []string{"one", "two", "three", "four"} {
			outageAtClose(t, a, fourMethods{a}, spill, word)
		}
		o := quiet()
		o.Spill = spill
		h := start(t, fourMethods{a}, o)
		for _, word := range []string{"one", "two", "three", "four"} {
			require.Equal(t, 1, h.words.count(word), word)
		}
		require.NoError(t, h.Close())
	})
}

func TestASpillGoesAboveWhatWasSpilledBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a, spill := newFlaky(), durable.NewMemoryAdapter(nil)
		o := quiet()
		o.Spill = spill
		h := start(t, a, o)
		a.down("save", "refresh")
		h.words.add("old")
		time.Sleep(time.Hour) // every attempt takes a version
		require.Error(t, h.Close())
		a.up("save", "refresh")

		h = start(t, a, nil) // another node goes on from the store
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["new"] = 1 }))
		require.NoError(t, h.Close())

		outageAtClose(t, a, a, spill, "final") // sets "old" aside first
		o = quiet()
		o.Spill = spill
		h = start(t, a, o)
		require.Equal(t, 1, h.words.count("final"))
		require.Equal(t, 1, h.words.count("new"))
		require.NoError(t, h.Close())
	})
}

func TestASpillThatTheStoreCannotHoldIsAnAnswerAndStays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a, spill := newFlaky(), durable.NewMemoryAdapter(nil)
		outageAtClose(t, a, a, spill, "large")
		a.on("save", func(string) error { return &durable.Error{Op: "save", Err: durable.ErrTooLarge} })
		o := quiet()
		o.Spill = spill
		h := prepare(t, a, o)
		_, err := h.Restore(ctx)
		require.ErrorIs(t, err, durable.ErrTooLarge, "not tried for ever")
		require.NoError(t, h.Close())
		_, err = spill.LoadState(ctx, "words")
		require.NoError(t, err)
	})
}

func TestWithoutOwnershipADeletedStateStaysDeletedToo(t *testing.T) { // P5
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := fourMethods{durable.NewMemoryAdapter(nil)}
		h := start(t, a, nil)
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["old"] = 1 }))
		require.NoError(t, a.DeleteState(ctx, "words"))
		require.ErrorIs(t, h.words.Commit(ctx, func(c *counts) { c.Words["more"] = 1 }), durable.ErrFenced)
		_, err := a.LoadState(ctx, "words")
		require.True(t, errors.Is(err, durable.ErrNotFound), "resurrected: %v", err)
		require.Error(t, h.Close())
	})
}
