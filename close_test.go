package durable_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/durablestate/durable"
	"github.com/stretchr/testify/require"
)

func TestP9_CloseKeepsItsDeadlineAndTellsTheTruth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := newFlaky()
		cp := durable.New(a, quiet())
		var all []*wordCounter
		for i := range 1000 {
			all = append(all, &wordCounter{})
			require.NoError(t, cp.Register(fmt.Sprintf("c%d", i), all[i]))
		}
		hung := &broken{hang: make(chan struct{})}
		require.NoError(t, cp.Register("hung", hung))
		require.NoError(t, cp.Register("failing", &broken{err: errors.New("no")}))
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, cp.Start())
		for _, w := range all {
			w.add("last")
		}
		err = closeWithin(t, cp, 20*time.Second)
		var unsaved *durable.CloseError
		require.ErrorAs(t, err, &unsaved)
		require.Len(t, unsaved.Unsaved, 2)
		require.ErrorContains(t, err, `"hung"`)
		require.ErrorContains(t, err, `"failing"`)
		for i := range all {
			s, err := a.LoadState(ctx, fmt.Sprintf("c%d", i))
			require.NoError(t, err)
			require.Contains(t, string(s.Data), `"last":1`)
		}
		l, err := a.LoadLease(ctx, "")
		require.NoError(t, err)
		require.True(t, l.Released, "a hanging component does not keep the lease")
		close(hung.hang)
	})
}

// More components than can be saved at a time: what would be lost most of is
// saved first, and what did not change last.
func TestCloseSavesTheLargestChangesFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const all, unchanged, atATime = 600, 100, 256
		a := newFlaky()
		cp := durable.New(a, quiet())
		var components []*durable.StatefulComponent[string]
		for i := range all {
			c := durable.NewStatefulComponent(strings.Repeat("x", (i*7919)%all)) // in no order
			components = append(components, c)
			require.NoError(t, cp.Register(fmt.Sprint((i*7919)%all), c))
		}
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, cp.Checkpoint(t.Context()))
		for i, c := range components {
			if (i*7919)%all < all-unchanged { // the largest did not change
				c.Update(func(*string) {})
			}
		}
		a.calls("", "")
		slow := func(string) error { time.Sleep(time.Second); return nil }
		a.on("save", slow)
		a.on("refresh", slow)
		require.NoError(t, cp.Close())
		var order []int
		for _, line := range a.log {
			if op, id, _ := strings.Cut(line, " "); op == "save" || op == "refresh" {
				n, err := strconv.Atoi(id)
				require.NoError(t, err)
				order = append(order, n)
			}
		}
		require.Len(t, order, all)
		for i, n := range order {
			if rank := all - unchanged - 1 - n; rank >= 0 { // the largest is 0
				require.Equal(t, rank/atATime, i/atATime, "component %d was number %d", n, i)
			} else {
				require.GreaterOrEqual(t, i, atATime, "component %d did not change and was number %d", n, i)
			}
		}
	})
}

func TestCloseTriesAgainWhileItsBudgetLasts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		h := start(t, a, nil)
		h.words.add("last")
		a.down("save")
		go func() { time.Sleep(10 * time.Second); a.up("save") }()
		require.NoError(t, closeWithin(t, h, 20*time.Second))
		s, err := a.LoadState(t.Context(), "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "last")
	})
}

func TestCloseErrorSaysHowOldTheLastGoodCheckpointIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		h := start(t, a, nil)
		require.NoError(t, h.words.Commit(t.Context(), func(*counts) {}))
		a.down("save", "refresh")
		h.words.add("lost")
		time.Sleep(5 * time.Minute)
		err := closeWithin(t, h, 20*time.Second)
		var unsaved *durable.CloseError
		require.ErrorAs(t, err, &unsaved)
		require.ErrorIs(t, err, errDown)
		require.GreaterOrEqual(t, unsaved.Unsaved[0].Age, 5*time.Minute)
		require.EqualValues(t, 1, unsaved.Unsaved[0].Version)
		require.ErrorContains(t, err, "version 1")
		require.Equal(t, err, h.Close(), "the same result again")
	})
}

func TestAfterCloseEverythingIsErrClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		h := start(t, durable.NewMemoryAdapter(nil), nil)
		require.NoError(t, h.Close())
		require.ErrorIs(t, h.words.Commit(ctx, func(*counts) {}), durable.ErrClosed)
		require.ErrorIs(t, h.Checkpoint(ctx), durable.ErrClosed)
		require.ErrorIs(t, h.Start(), durable.ErrClosed)
		require.ErrorIs(t, h.Health(), durable.ErrClosed)
		require.ErrorIs(t, h.Register("other", &wordCounter{}), durable.ErrClosed)
		_, err := h.Restore(ctx)
		require.ErrorIs(t, err, durable.ErrClosed)
	})
}

func TestAChangeDuringCloseIsSavedOrReported(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		h := start(t, a, nil)
		n := 0
		a.on("save", func(string) error { h.words.add("late"); n++; return nil })
		err := closeWithin(t, h, 20*time.Second)
		require.Error(t, err, "it changed after every final save")
		require.LessOrEqual(t, n, 5, "Close does not chase a component that never stops")

		a = newFlaky()
		h = start(t, a, nil)
		once := true
		a.on("save", func(string) error {
			if once {
				h.words.add("late")
			}
			once = false
			return nil
		})
		require.NoError(t, h.Close())
		s, err := a.LoadState(t.Context(), "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "late")
	})
}

func TestAFinalSnapshotThatShrankTenfoldIsWarnedOf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		j := &journal{}
		h := start(t, durable.NewMemoryAdapter(nil), j.options())
		require.NoError(t, h.words.Commit(t.Context(), func(c *counts) {
			for i := range 100 {
				c.Words[fmt.Sprint(i)] = i
			}
		}))
		h.words.Update(func(c *counts) { clear(c.Words) }) // cleaned up before Close
		require.NoError(t, h.Close())
		require.Contains(t, j.text(), "cleaned up before Close")
	})
}

func TestWhatCannotBeSavedAtCloseIsSpilledAndRestored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a, spill := newFlaky(), durable.NewMemoryAdapter(nil)
		opts := func() *durable.Options {
			o := quiet()
			o.Spill = spill
			return o
		}
		h := start(t, a, opts())
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["acked"] = 1 }))
		h.words.add("final")
		a.down("save", "refresh", "renew")
		var unsaved *durable.CloseError
		require.ErrorAs(t, closeWithin(t, h, 20*time.Second), &unsaved, "what was spilled is still listed")
		a.up("save", "refresh", "renew")

		h = start(t, a, opts())
		require.Equal(t, 1, h.words.count("final"))
		require.NoError(t, h.Close())
		_, err := spill.LoadState(ctx, "words")
		require.ErrorIs(t, err, durable.ErrNotFound, "it was written back")
	})
}

func TestASpillThatIsOlderThanTheStoreIsSetAside(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a, spill := newFlaky(), durable.NewMemoryAdapter(nil)
		o := quiet()
		o.Spill = spill
		h := start(t, a, o)
		h.words.add("spilled")
		a.down("save", "refresh")
		require.Error(t, h.Close())
		a.up("save", "refresh")

		h = start(t, a, nil) // on another node, without that spill directory
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["newer"] = 1 }))
		require.NoError(t, h.Close())

		o = quiet()
		o.Spill = spill
		h = start(t, a, o)
		require.Equal(t, 1, h.words.count("newer"))
		require.Zero(t, h.words.count("spilled"))
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
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		spill := durable.NewMemoryAdapter(nil)
		o := quiet()
		o.Spill = spill
		h := start(t, hanging{durable.NewMemoryAdapter(nil)}, o)
		h.words.add("final")
		require.Error(t, closeWithin(t, h, 20*time.Second))
		s, err := spill.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "final")
	})
}

func TestCloseIsNotEndedByACancelledCaller(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		ctx, cancel := context.WithCancel(t.Context())
		h := prepare(t, a, nil)
		_, err := h.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, h.Start())
		h.words.add("x")
		cancel() // SIGTERM
		require.NoError(t, h.Close())
		s, err := a.LoadState(t.Context(), "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), `"x":1`)
	})
}
