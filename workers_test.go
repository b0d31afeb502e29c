package durable_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

func TestASaveThatNobodyMayCancelIsMadeByItsCaller(t *testing.T) {
	a := newFlaky()
	h := start(t, a, nil)
	var stack string
	a.on("save", func(string) error { stack = string(debug.Stack()); return nil })
	require.NoError(t, h.words.Commit(context.Background(), func(c *counts) { c.Words["a"]++ }))
	require.Contains(t, stack, ".Commit(")
	require.NoError(t, h.words.Commit(t.Context(), func(c *counts) { c.Words["a"]++ }))
	require.NotContains(t, stack, ".Commit(")
	require.NoError(t, h.Close())
	require.ErrorIs(t, h.words.CheckpointState(context.Background()), durable.ErrClosed)
}

func TestACallerMakesHisOwnSaveAndNotThoseOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		h := start(t, a, nil)
		turn := make(chan struct{})
		a.on("save", func(string) error { <-turn; return nil })
		results := make(chan error, 2)
		commit := func(ctx context.Context) {
			results <- h.words.Commit(ctx, func(c *counts) { c.Words["a"]++ })
		}
		go commit(context.Background())
		synctest.Wait()
		go commit(t.Context())
		synctest.Wait()
		turn <- struct{}{}
		require.NoError(t, <-results, "while the other save is under way")
		synctest.Wait()
		require.Empty(t, results)
		close(turn)
		require.NoError(t, <-results)
		require.NoError(t, h.Close())
	})
}

func TestCloseWaitsForASaveThatItsCallerMakes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		h := start(t, a, nil)
		turn, saved, closed := make(chan struct{}), make(chan error, 1), make(chan error, 1)
		a.on("save", func(string) error { <-turn; return nil })
		go func() { saved <- h.words.Commit(context.Background(), func(c *counts) { c.Words["a"]++ }) }()
		synctest.Wait()
		go func() { closed <- h.Close() }()
		synctest.Wait()
		require.Empty(t, closed)
		close(turn)
		require.NoError(t, <-saved)
		require.NoError(t, <-closed)
	})
}

func TestManyComponentsAreSavedByAFewGoroutines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n, most = 2000, 256
		a := newFlaky()
		cp := durable.New(a, quiet())
		all := make([]durable.StatefulComponent[int], n)
		for i := range all {
			require.NoError(t, cp.Register(fmt.Sprint(i), &all[i]))
		}
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		turn, done := make(chan struct{}), make(chan error, 1)
		a.on("save", func(string) error { <-turn; return nil })
		for i := range all {
			all[i].Update(func(v *int) { *v = i })
		}
		before := runtime.NumGoroutine()
		go func() { done <- cp.Checkpoint(t.Context()) }()
		synctest.Wait()
		require.LessOrEqual(t, runtime.NumGoroutine(), before+most+1)
		close(turn)
		require.NoError(t, <-done)
		for i := range all {
			s, err := a.LoadState(t.Context(), fmt.Sprint(i))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), string(s.Data))
		}
		require.NoError(t, cp.Close())
	})
}
