package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestP9_CloseKeepsItsDeadlineAndTellsTheTruth(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := testkit.NewFlaky()
		cp := durable.New(a, testkit.Quiet())
		var all []*testkit.WordCounter
		for i := range 1000 {
			all = append(all, &testkit.WordCounter{})
			require.NoError(t, cp.Register(fmt.Sprintf("c%d", i), all[i]))
		}
		hung := &testkit.Broken{Hang: make(chan struct{})}
		require.NoError(t, cp.Register("hung", hung))
		require.NoError(t, cp.Register("failing", &testkit.Broken{Err: errors.New("no")}))
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, cp.Start())
		for _, w := range all {
			w.Add("last")
		}
		err = testkit.CloseWithin(t, cp, 20*time.Second)
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
		testkit.RequireGivenUp(t, l) // a hanging component does not keep the lease
		require.False(t, l.Released, "and the next owner is not told of a clean end")
		close(hung.Hang)
	})
}

// More components than can be saved at a time: what would be lost most of is
// saved first, and what did not change last.
func TestCloseSavesTheLargestChangesFirst(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		const all, unchanged, atATime = 600, 100, 256
		a := testkit.NewFlaky()
		cp := durable.New(a, testkit.Quiet())
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
		a.Calls("", "")
		slow := func(string) error { time.Sleep(time.Second); return nil }
		a.On("save", slow)
		a.On("refresh", slow)
		require.NoError(t, cp.Close())
		var order []int
		for _, line := range a.Asked() {
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
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		h.Words.Add("last")
		a.Down("save")
		go func() { time.Sleep(10 * time.Second); a.Up("save") }()
		require.NoError(t, testkit.CloseWithin(t, h, 20*time.Second))
		s, err := a.LoadState(t.Context(), "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "last")
	})
}

func TestCloseErrorSaysHowOldTheLastGoodCheckpointIs(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Words.Commit(t.Context(), func(*testkit.Counts) {}))
		a.Down("save", "refresh")
		h.Words.Add("lost")
		time.Sleep(5 * time.Minute)
		err := testkit.CloseWithin(t, h, 20*time.Second)
		var unsaved *durable.CloseError
		require.ErrorAs(t, err, &unsaved)
		require.ErrorIs(t, err, testkit.ErrDown)
		require.GreaterOrEqual(t, unsaved.Unsaved[0].Age, 5*time.Minute)
		require.EqualValues(t, 1, unsaved.Unsaved[0].Version)
		require.ErrorContains(t, err, "version 1")
		require.Equal(t, err, h.Close(), "the same result again")
	})
}

func TestAfterCloseEverythingIsErrClosed(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		h := testkit.Start(t, durable.NewMemoryAdapter(nil), nil)
		require.NoError(t, h.Close())
		require.ErrorIs(t, h.Words.Commit(ctx, func(*testkit.Counts) {}), durable.ErrClosed)
		require.ErrorIs(t, h.Checkpoint(ctx), durable.ErrClosed)
		require.ErrorIs(t, h.Start(), durable.ErrClosed)
		require.ErrorIs(t, h.Health(), durable.ErrClosed)
		require.ErrorIs(t, h.Register("other", &testkit.WordCounter{}), durable.ErrClosed)
		_, err := h.Restore(ctx)
		require.ErrorIs(t, err, durable.ErrClosed)
	})
}

func TestAChangeDuringCloseIsSavedOrReported(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		n := 0
		a.On("save", func(string) error { h.Words.Add("late"); n++; return nil })
		err := testkit.CloseWithin(t, h, 20*time.Second)
		require.Error(t, err, "it changed after every final save")
		require.LessOrEqual(t, n, 5, "Close does not chase a component that never stops")

		a = testkit.NewFlaky()
		h = testkit.Start(t, a, nil)
		once := true
		a.On("save", func(string) error {
			if once {
				h.Words.Add("late")
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
	testkit.Bubble(t, func(t *testing.T) {
		j := &testkit.Journal{}
		h := testkit.Start(t, durable.NewMemoryAdapter(nil), j.Options())
		require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) {
			for i := range 100 {
				c.Words[fmt.Sprint(i)] = i
			}
		}))
		h.Words.Update(func(c *testkit.Counts) { clear(c.Words) }) // cleaned up before Close
		require.NoError(t, h.Close())
		require.Contains(t, j.Text(), "cleaned up before Close")
	})
}

func TestCloseIsNotEndedByACancelledCaller(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		ctx, cancel := context.WithCancel(t.Context())
		h := testkit.Prepare(t, a, nil)
		_, err := h.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, h.Start())
		h.Words.Add("x")
		cancel() // SIGTERM
		require.NoError(t, h.Close())
		s, err := a.LoadState(t.Context(), "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), `"x":1`)
	})
}

// stuckRestore hangs in RestoreState while its channel is open.
type stuckRestore struct {
	testkit.Custom
	hang chan struct{}
}

func (s *stuckRestore) RestoreState(data []byte) error {
	if s.hang != nil {
		<-s.hang
	}
	return s.Custom.RestoreState(data)
}

func TestARestoreThatHangsDoesNotStarveTheFinalSavesOfOthers(t *testing.T) { // P9
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := testkit.Prepare(t, a, nil)
		stuck := &stuckRestore{}
		require.NoError(t, h.Register("stuck", stuck))
		_, err := h.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, h.Checkpoint(ctx))
		stuck.hang = make(chan struct{})
		go h.Restore(ctx, "stuck")
		synctest.Wait()
		h.Words.Add("last")
		require.Error(t, testkit.CloseWithin(t, h, 20*time.Second))
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "last")
		l, err := a.LoadLease(ctx, "")
		require.NoError(t, err)
		testkit.RequireGivenUp(t, l)
		close(stuck.hang)
	})
}

// deaf never looks at a context in the operations it is told to.
type deaf struct {
	*durable.MemoryAdapter
	renew, release chan struct{}
}

func (d *deaf) RenewLease(ctx context.Context, l *durable.Lease) error {
	if d.renew != nil {
		<-d.renew
	}
	return d.MemoryAdapter.RenewLease(ctx, l)
}

func (d *deaf) ReleaseLease(ctx context.Context, l *durable.Lease) error {
	if d.release != nil {
		<-d.release
	}
	return d.MemoryAdapter.ReleaseLease(ctx, l)
}

func TestCloseKeepsItsDeadlineAlsoWithAnAdapterThatIgnoresContexts(t *testing.T) {
	for _, name := range []string{"renew", "release"} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				block := make(chan struct{})
				d := &deaf{MemoryAdapter: durable.NewMemoryAdapter(nil)}
				h := testkit.Prepare(t, d, nil)
				require.NoError(t, h.Register("hung", &testkit.Broken{Hang: block}))
				_, err := h.Restore(t.Context())
				require.NoError(t, err)
				if name == "renew" {
					d.renew = block
				} else {
					d.release = block
				}
				require.Error(t, testkit.CloseWithin(t, h, 20*time.Second))
				close(block)
			})
		})
	}
}

func TestATinyLeaseTTLDoesNotStormTheStoreDuringClose(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		o := testkit.Quiet()
		o.LeaseTTL = 100 * time.Millisecond // the least there is
		o.CloseTimeout = 2 * time.Second
		h := testkit.Prepare(t, a, o)
		hung := &testkit.Broken{Hang: make(chan struct{})}
		require.NoError(t, h.Register("hung", hung))
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		a.Calls("", "")
		require.Error(t, h.Close())
		require.LessOrEqual(t, a.Calls("renew", ""), 61)
		close(hung.Hang)
	})
}

func TestCloseDoesNotCallAComponentSavedThatItCouldNotAsk(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		cp := durable.New(a, testkit.Quiet())
		c := &testkit.Custom{Data: []byte("old")}
		require.NoError(t, cp.Register("c", c))
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, cp.Checkpoint(ctx))
		_, err = a.AcquireLease(ctx, "", testkit.LeaseHolder(t, a), time.Hour) // a successor
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.ErrorIs(t, cp.Health(), durable.ErrFenced)
		c.Data = []byte("new")
		var unsaved *durable.CloseError
		require.ErrorAs(t, cp.Close(), &unsaved, "nobody knows whether it changed since it was fenced")
	})
}

func TestCloseReleasesNoLeaseWhereNoneIsWanted(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		o := testkit.Quiet()
		o.LeaseTTL = -1
		o.OnEvent = func(e durable.Event) { require.NotEqual(t, "lease", e.Op) }
		h := testkit.Start(t, testkit.NewFlaky(), o)
		require.NoError(t, h.Close())
	})
}

func TestASaveThatHangsOfAComponentThatMayNotSaveHoldsUpNoSuccessor(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		o := testkit.Quiet()
		o.Spill = durable.NewMemoryAdapter(nil)
		h := testkit.Prepare(t, a, o)
		hung := &testkit.Broken{Hang: make(chan struct{})}
		require.NoError(t, h.Register("hung", hung))
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		go h.Checkpoint(context.Background(), "hung")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = h.Restore(ctx, "hung")
		require.ErrorContains(t, err, "a save is still under way")

		go h.Close()
		time.Sleep(5 * time.Second)
		l, err := a.LoadLease(t.Context(), "")
		require.NoError(t, err)
		testkit.RequireGivenUp(t, l) // there is nothing to wait for: it could not be spilled
		time.Sleep(20 * time.Second)
		close(hung.Hang)
	})
}
