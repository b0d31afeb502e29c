package durable_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durablestate/durable"
	"github.com/stretchr/testify/require"
)

type touchyState struct{ N int }

var touch struct {
	sync.Mutex
	init, schema bool
}

func touching(init, schema bool) {
	touch.Lock()
	defer touch.Unlock()
	touch.init, touch.schema = init, schema
}

func (*touchyState) InitState() {
	touch.Lock()
	defer touch.Unlock()
	if touch.init {
		panic("InitState")
	}
}

func (*touchyState) StateSchema() int {
	touch.Lock()
	defer touch.Unlock()
	if touch.schema {
		panic("StateSchema")
	}
	return 1
}

func (*touchyState) MigrateState(int, []byte) ([]byte, error) { return nil, errors.New("no") }

func TestAPanicInInitStateOrStateSchemaLeavesTheStateUsable(t *testing.T) {
	defer touching(false, false)
	ctx := t.Context()
	a := durable.NewMemoryAdapter(nil)
	cp := durable.New(a, quiet())
	var c durable.StatefulComponent[touchyState]
	require.NoError(t, cp.Register("c", &c))
	_, err := cp.Restore(ctx)
	require.NoError(t, err)
	require.NoError(t, c.Commit(ctx, func(s *touchyState) { s.N = 1 }))
	c.Update(func(s *touchyState) { s.N = 2 })

	touching(false, true)
	require.ErrorContains(t, c.CheckpointState(ctx), "panic")
	touching(true, false)
	report, err := cp.Restore(ctx)
	require.ErrorContains(t, err, "panic")
	require.Equal(t, durable.Rejected, report.Results[0].Outcome)
	read := make(chan int)
	go c.View(func(s *touchyState) { read <- s.N })
	select {
	case n := <-read:
		require.Equal(t, 2, n, "after an error the state is as it was before")
	case <-time.After(5 * time.Second):
		t.Fatal("the lock of the state is held for ever")
	}
	require.NoError(t, a.DeleteState(ctx, "c"))
	_, err = cp.Restore(ctx) // fresh, which calls InitState
	require.ErrorContains(t, err, "panic")
	touching(false, false)
	require.Error(t, cp.Close(), "2 was never saved")
}

func TestAPanicInOnEventIsContained(t *testing.T) {
	o := quiet()
	o.OnEvent = func(durable.Event) { panic("metrics") }
	h := start(t, durable.NewMemoryAdapter(nil), o)
	require.NoError(t, h.words.Commit(t.Context(), func(*counts) {}))
	require.NoError(t, h.Close())
}

func TestAFreshStartAfterAHalfAppliedRestoreIsFresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		require.NoError(t, a.SaveState(ctx, "w", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words":{"poison":1}}`)}))
		o := quiet()
		o.Restore = durable.FreshIfUnreadable
		cp := durable.New(a, o)
		w := &picky{}
		require.NoError(t, cp.Register("w", w))
		report, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.Equal(t, durable.Rejected, report.Results[0].Outcome)
		require.Zero(t, w.count("poison"))
		require.NoError(t, cp.Close())
	})
}

// picky does not like a restored state, and says so when it has it already.
type picky struct{ wordCounter }

func (p *picky) InitState() {
	if p.count("poison") > 0 {
		panic("poison")
	}
}

func TestASecondRestoreThatWaitsForItsTurnEndsWithClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		a.down("load")
		h := prepare(t, a, nil)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := h.Restore(context.Background())
				require.ErrorIs(t, err, durable.ErrClosed)
			})
		}
		synctest.Wait()
		require.NoError(t, h.Close())
		wg.Wait()
	})
}

func TestAComponentNamedTwiceIsRestoredOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		h := prepare(t, a, nil)
		report, err := h.Restore(t.Context(), "words", "words")
		require.NoError(t, err)
		require.Len(t, report.Results, 1)
		require.Equal(t, 1, a.calls("load", "words"))
		require.NoError(t, h.Close())
	})
}

// late answers a save a second after it was accepted.
type late struct{ *flaky }

func (l late) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	err := l.flaky.SaveState(ctx, id, s)
	time.Sleep(time.Second)
	return err
}

func TestARoundOfRestoreWaitsForASaveOfTheRoundBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := late{newFlaky()}
		h := prepare(t, a, nil)
		require.NoError(t, h.Register("other", &wordCounter{}))
		_, err := h.Restore(ctx)
		require.NoError(t, err)

		claims := 0
		a.on("claim", func(id string) error {
			if id != "other" {
				return nil
			}
			if claims++; claims > 1 {
				return nil
			}
			synctest.Wait() // words is restored and open by now
			go h.words.Commit(ctx, func(c *counts) { c.Words["acked"] = 1 })
			synctest.Wait()
			return &durable.Error{Op: "claim", Err: durable.ErrFenced}
		})
		_, err = h.Restore(ctx)
		require.NoError(t, err)
		require.Equal(t, 2, claims)
		time.Sleep(2 * time.Second)
		require.Equal(t, 1, h.words.count("acked"))
		require.NoError(t, h.words.Commit(ctx, func(*counts) {}), "it saves under the epoch of the last round")
		require.NoError(t, h.Close())
	})
}

func TestAChangeWhileARestoreEndsCountsAsUnsaved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := newFlaky()
		require.NoError(t, a.SaveState(ctx, "w", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words":{}}`)}))
		cp := durable.New(a, quiet())
		w := &counting{}
		require.NoError(t, cp.Register("w", w))
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.Equal(t, 1, w.count("restarts"))
		require.True(t, cp.Status()[0].Changed)
		a.down("save", "refresh")
		require.Error(t, cp.Close(), "the change that followed the restore is not stored")
	})
}

// counting changes its state as soon as it is restored.
type counting struct{ wordCounter }

func (c *counting) RestoreState(data []byte) error {
	err := c.wordCounter.RestoreState(data)
	c.add("restarts")
	return err
}

func TestAStateThatTheProgramReplacesItselfIsSaved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := start(t, a, nil)
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["old"] = 1 }))
		require.NoError(t, h.words.RestoreState([]byte(`{"Words":{"imported":1}}`)))
		require.True(t, h.Status()[0].Changed)
		require.NoError(t, h.words.CheckpointState(ctx))
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "imported")
		require.NoError(t, h.Close())
	})
}

func TestAFreshStartForgetsTheVersionOfTheDeletedState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := newFlaky()
		h := start(t, a, nil)
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["old"] = 1 }))
		require.NoError(t, a.DeleteState(ctx, "words"))
		_, err := h.Restore(ctx)
		require.NoError(t, err)
		require.Zero(t, h.Status()[0].Version, "nothing is stored")
		a.down("save")
		h.words.add("x")
		require.ErrorContains(t, h.Close(), "never saved")
	})
}
