package flight_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestACallerWaitsForHisOwnSaveAndNotForThoseOfOthers(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		turn := make(chan struct{})
		a.On("save", func(string) error { <-turn; return nil })
		results := make(chan error, 2)
		for range 2 {
			go func() { results <- h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["a"]++ }) }()
			synctest.Wait()
		}
		turn <- struct{}{}
		require.NoError(t, <-results, "while the other save is under way")
		synctest.Wait()
		require.Empty(t, results)
		close(turn)
		require.NoError(t, <-results)
		require.NoError(t, h.Close())
	})
}

func TestCloseWaitsForASaveThatIsUnderWay(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		turn, saved, closed := make(chan struct{}), make(chan error, 1), make(chan error, 1)
		a.On("save", func(string) error { <-turn; return nil })
		go func() { saved <- h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["a"]++ }) }()
		synctest.Wait()
		go func() { closed <- h.Close() }()
		synctest.Wait()
		require.Empty(t, closed)
		close(turn)
		require.NoError(t, <-saved)
		require.NoError(t, <-closed)
	})
}

// text is a state that may have to wait until it is captured.
type text struct {
	data string
	wait chan struct{}
}

func (x *text) MarshalState() ([]byte, error) {
	if x.wait != nil {
		<-x.wait
	}
	return []byte(x.data), nil
}

func (x *text) UnmarshalState(data []byte) error {
	x.data = string(data)
	return nil
}

// throng is a Checkpointer with many texts, whose saves wait to be let through.
type throng struct {
	*durable.Checkpointer
	store  *testkit.Flaky
	texts  []durable.StatefulComponent[text]
	saving atomic.Int64 // how many wait
	turn   chan struct{}
	first  chan struct{} // that of the first one
}

func newThrong(t *testing.T, n int) *throng {
	t.Helper()
	a := testkit.NewFlaky()
	c := &throng{Checkpointer: durable.New(a, testkit.Quiet()), store: a, texts: make([]durable.StatefulComponent[text], n)}
	for i := range c.texts {
		require.NoError(t, c.Register(fmt.Sprint(i), &c.texts[i]))
	}
	_, err := c.Restore(t.Context())
	require.NoError(t, err)
	a.On("save", func(id string) error {
		turn := c.turn
		if id == "0" {
			turn = c.first
		}
		c.saving.Add(1)
		defer c.saving.Add(-1)
		<-turn
		return nil
	})
	return c
}

// change changes all texts. Saves wait until what it returns is closed.
func (c *throng) change(size func(i int) int) (turn chan struct{}) {
	turn = make(chan struct{})
	c.turn, c.first = turn, turn
	for i := range c.texts {
		c.texts[i].Update(func(x *text) { x.data, x.wait = strings.Repeat("a", size(i)), nil })
	}
	return turn
}

// checkpoint changes all texts and sees to it that as many as expected are being
// saved, and next when the first one has been, before it lets all through.
func (c *throng) checkpoint(t *testing.T, size func(i int) int, expected, next int) {
	t.Helper()
	turn := c.change(size)
	c.first = make(chan struct{})
	before, done := runtime.NumGoroutine(), make(chan error, 2)
	go func() { done <- c.Checkpoint(t.Context(), "0") }()
	synctest.Wait()
	go func() { done <- c.Checkpoint(t.Context()) }()
	synctest.Wait()
	require.EqualValues(t, expected, c.saving.Load())
	require.LessOrEqual(t, runtime.NumGoroutine(), before+2*expected+10, "one waits while another calls the adapter")
	close(c.first)
	synctest.Wait()
	require.EqualValues(t, next, c.saving.Load(), "after the first one")
	close(turn)
	require.NoError(t, errors.Join(<-done, <-done))
	for i := range c.texts {
		s, err := c.store.LoadState(t.Context(), fmt.Sprint(i))
		require.NoError(t, err)
		require.Len(t, s.Data, size(i))
	}
}

func TestManySmallComponentsAreSavedAtATime(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		c := newThrong(t, 2000)
		for n := range 3 {
			c.checkpoint(t, func(int) int { return n }, 1024, 1024)
		}
		require.NoError(t, c.Close())
	})
}

func TestFewerLargeComponentsAreSavedAtATime(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		c := newThrong(t, 600)
		c.checkpoint(t, func(int) int { return 10 }, 600, 599)
		c.checkpoint(t, func(int) int { return 17 << 10 }, 256, 256)
		c.checkpoint(t, func(int) int { return 8 << 10 }, 511, 511)
		require.NoError(t, c.Close())
	})
}

func TestManySmallComponentsGoAheadWhenALargeOneIsSaved(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		c := newThrong(t, 600)
		captured := make(chan struct{})
		turn := c.change(func(i int) int {
			if i == 0 {
				return 4 << 20
			}
			return 10
		})
		c.texts[256].Update(func(x *text) { x.wait = captured }) // it takes over from the large one
		c.first = make(chan struct{})
		done := make(chan error, 1)
		go func() { done <- c.Checkpoint(t.Context(), "0") }()
		synctest.Wait()
		go func() { done <- c.Checkpoint(t.Context()) }()
		synctest.Wait()
		require.EqualValues(t, 256, c.saving.Load())
		close(c.first)
		synctest.Wait()
		require.EqualValues(t, 598, c.saving.Load())
		close(captured)
		close(turn)
		require.NoError(t, errors.Join(<-done, <-done))
		require.NoError(t, c.Close())
	})
}

// A save asked for while another one is under way is neither lost with it nor
// answered by it.
func TestNoSaveThatWasAskedForIsLost(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		defer h.Close()
		turn := make(chan struct{})
		a.On("save", func(string) error { <-turn; return nil })
		results := make(chan error)
		for round := range 5 {
			for _, ctx := range []context.Context{context.Background(), t.Context(), t.Context()} {
				go func() { results <- h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["a"]++ }) }()
				synctest.Wait()
			}
			turn <- struct{}{}
			require.NoError(t, <-results)
			synctest.Wait()
			require.Empty(t, results)
			turn <- struct{}{}
			require.NoError(t, <-results)
			require.NoError(t, <-results)
			require.EqualValues(t, 2*(round+1), h.Status()[0].Saves)
			require.False(t, h.Status()[0].Changed)
		}
		a.On("save", nil)
	})
}
