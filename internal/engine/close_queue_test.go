package engine_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/engine"
	"github.com/durablestate/durable/internal/testkit"
)

// several is a Checkpointer with n word counters, and hung components that hang from
// the first time their state is asked for.
type several struct {
	*durable.Checkpointer
	words []*testkit.WordCounter
	hang  chan struct{}
}

func newSeveral(t *testing.T, a durable.StateAdapter, o *durable.Options, n, hung int) *several {
	t.Helper()
	c := &several{Checkpointer: durable.New(a, o), hang: make(chan struct{})}
	for i := range hung {
		require.NoError(t, c.Register(fmt.Sprintf("hung%d", i), &testkit.Broken{Hang: c.hang}))
	}
	for i := range n {
		c.words = append(c.words, &testkit.WordCounter{})
		require.NoError(t, c.Register(fmt.Sprintf("c%d", i), c.words[i]))
	}
	_, err := c.Restore(t.Context())
	require.NoError(t, err)
	return c
}

func (c *several) change() {
	for _, w := range c.words {
		w.Add("last")
	}
}

// requireStored says that the last change of every word counter is in a.
func (c *several) requireStored(t *testing.T, a durable.StateAdapter) {
	t.Helper()
	for i := range c.words {
		s, err := a.LoadState(t.Context(), fmt.Sprintf("c%d", i))
		require.NoError(t, err)
		require.Contains(t, string(s.Data), `"last":1`)
	}
}

// blip lets the first save of every word counter fail.
func blip(a *testkit.Flaky) {
	var failed sync.Map
	a.On("save", func(id string) error {
		if _, again := failed.LoadOrStore(id, true); !again && strings.HasPrefix(id, "c") {
			return testkit.ErrDown
		}
		return nil
	})
}

func unsavedOf(t *testing.T, err error) []durable.ComponentStatus {
	t.Helper()
	var unsaved *durable.CloseError
	require.ErrorAs(t, err, &unsaved)
	return unsaved.Unsaved
}

func TestComponentsThatHangKeepNoOtherFromASecondTry(t *testing.T) { // P9
	for _, hung := range []int{1, 255, 256, 1000} {
		t.Run(fmt.Sprint(hung), func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a := testkit.NewFlaky()
				c := newSeveral(t, a, testkit.Quiet(), 600, hung)
				c.change()
				blip(a)
				err := testkit.CloseWithin(t, c, 20*time.Second)
				require.Len(t, unsavedOf(t, err), hung, "those that hang, and nobody else")
				c.requireStored(t, a)
				close(c.hang)
			})
		})
	}
}

func TestASaveThatHangsBeforeCloseKeepsNoOtherFromItsTurn(t *testing.T) { // P9
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		c := newSeveral(t, a, testkit.Quiet(), 300, 256)
		go c.Checkpoint(context.Background())
		synctest.Wait()
		c.change()
		blip(a)
		require.Len(t, unsavedOf(t, testkit.CloseWithin(t, c, 20*time.Second)), 256)
		c.requireStored(t, a)
		close(c.hang)
	})
}

func TestComponentsThatHangKeepTheScheduleFromNothing(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		c := newSeveral(t, a, testkit.Quiet(), 100, 300)
		require.NoError(t, c.Start())
		time.Sleep(5 * time.Minute) // all that hang are in their callbacks
		c.change()
		time.Sleep(5 * time.Minute)
		c.requireStored(t, a)
		close(c.hang)
		require.NoError(t, c.Close())
	})
}

func TestCloseDoesNotTryWhatWillNotChange(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		h.Words.Add("last")
		a.On("save", func(string) error { return fmt.Errorf("%w: no right to write", durable.ErrPermanent) })
		a.Calls("", "")
		require.ErrorIs(t, testkit.CloseWithin(t, h, time.Second), durable.ErrPermanent)
		require.Equal(t, 1, a.Calls("save", "words"))
	})
}

func TestNothingIsSavedAfterClose(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		c := newSeveral(t, a, testkit.Quiet(), 0, 2)
		require.Len(t, unsavedOf(t, c.Close()), 2)
		a.Calls("", "")
		close(c.hang)
		synctest.Wait()
		require.Empty(t, a.Asked(), "what comes back after Close is not sent")
	})
}

func TestCloseReturnsWhenAListenerOrALogHangs(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		hang := make(chan struct{})
		closing := false
		o := testkit.Quiet()
		o.OnEvent = func(e durable.Event) {
			if closing {
				<-hang
			}
		}
		h := testkit.Start(t, testkit.NewFlaky(), o)
		closing = true
		_ = testkit.CloseWithin(t, h, 22*time.Second)
		close(hang)
	})
}

func TestCloseInACallbackOfCloseComesToAnEnd(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		o := testkit.Quiet()
		var h testkit.Harness
		o.OnEvent = func(e durable.Event) {
			if e.Op == "lease" && h.Checkpointer != nil {
				_ = h.Close()
			}
		}
		h = testkit.Prepare(t, testkit.NewFlaky(), o)
		_, err := h.Restore(t.Context())
		_ = err
		done := make(chan error, 1)
		go func() { done <- h.Close() }()
		time.Sleep(time.Minute)
		require.Len(t, done, 1)
	})
}

func TestALostCountOfStartsDoesNotHoldUpClose(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		o := testkit.Quiet()
		o.MaxCrashRestarts = 3
		h := testkit.Start(t, a, o)
		require.NoError(t, h.Words.Commit(t.Context(), func(*testkit.Counts) {}))
		a.Down("save", "refresh")
		require.NoError(t, testkit.CloseWithin(t, h, 5*time.Second), "every change is stored")
	})
}

func TestAFencedOwnerListsWhatItChangedAndNothingElse(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		o := testkit.Quiet()
		spill := durable.NewMemoryAdapter(nil)
		o.Spill = spill
		c := newSeveral(t, a, o, 2, 0)
		c.change()
		require.NoError(t, c.Checkpoint(t.Context()))
		_, err := a.AcquireLease(t.Context(), "", testkit.LeaseHolder(t, a), time.Hour)
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		c.words[1].Add("late")
		err = testkit.CloseWithin(t, c, time.Second)
		require.ErrorIs(t, err, durable.ErrFenced)
		list := unsavedOf(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "c1", list[0].ComponentID)
		require.False(t, list[0].Spilled)
		_, err = spill.LoadState(t.Context(), "c1")
		require.ErrorIs(t, err, durable.ErrNotFound)
	})
}

func TestACheckpointThatEndsNamesWhatFailedBehindTheOneThatHangs(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		cp, hang := durable.New(testkit.NewFlaky(), testkit.Quiet()), make(chan struct{})
		for i := range 12 {
			require.NoError(t, cp.Register(fmt.Sprintf("hung%d", i), &testkit.Broken{Hang: hang}))
		}
		broken := []error{errors.New("broken one"), errors.New("broken two")}
		for i, err := range broken {
			require.NoError(t, cp.Register(fmt.Sprint("broken", i), &testkit.Broken{Err: err}))
		}
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = cp.Checkpoint(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for _, b := range broken {
			require.ErrorIs(t, err, b)
		}
		require.ErrorContains(t, err, `"hung9" and 2 more not finished`)
		close(hang)
		require.Len(t, unsavedOf(t, cp.Close()), len(broken))
	})
}

// lingering takes its time to close.
type lingering struct{ time.Duration }

func (l lingering) Close() error { time.Sleep(l.Duration); return nil }

func TestCloseBlamesNoAdapterForTheTimeOfAnEarlierStep(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := newCounting()
		e := newEngine(a, func(o *engine.Options) { o.CloseTimeout = 3 * time.Second })
		c := &number{}
		require.NoError(t, e.Register("c", c, c))
		_, err := e.Restore(t.Context())
		require.NoError(t, err)
		hang := make(chan struct{})
		a.saving = func() { <-hang } // whatever the context
		c.add()
		e.CloseWith(lingering{100 * time.Millisecond}, lingering{120 * time.Millisecond})
		began := time.Now()
		unsaved, err := e.Close()
		require.NoError(t, err)
		require.Len(t, unsaved, 1)
		require.LessOrEqual(t, time.Since(began), 3300*time.Millisecond)
		close(hang)
	})
}

func TestCloseNamesTheAdapterThatDoesNotReturnAndClosesTheOther(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		e := newEngine(newCounting(), nil)
		_, err := e.Restore(t.Context())
		require.NoError(t, err)
		other := make(closer, 1)
		e.CloseWith(lingering{time.Hour}, other)
		began := time.Now()
		_, err = e.Close()
		require.ErrorContains(t, err, "engine_test.lingering has not returned from its Close")
		require.Len(t, other, 1)
		require.LessOrEqual(t, time.Since(began), 22*time.Second)
		time.Sleep(time.Hour)
	})
}

type closer chan struct{}

func (c closer) Close() error { c <- struct{}{}; return nil }

func TestCloseTwiceAtOnceHasOneResult(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		h.Words.Add("lost")
		a.Down("save")
		errs := make(chan error, 2)
		for range 2 {
			go func() { errs <- h.Close() }()
		}
		require.Equal(t, <-errs, <-errs)
	})
}

func TestNoGoroutineIsLeftOfAComponentThatComesBackAfterClose(t *testing.T) { // P12
	testkit.Bubble(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		o := testkit.Quiet()
		o.Spill = durable.NewMemoryAdapter(nil)
		a := testkit.NewFlaky()
		c := newSeveral(t, a, o, 10, 300)
		a.Down("save")
		require.Error(t, c.Close())
		close(c.hang)
		synctest.Wait()
		require.LessOrEqual(t, runtime.NumGoroutine(), before)
	})
}
