package engine_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// replacing are the ways to replace the state of a harness.
func replacing(t *testing.T, cp *durable.Checkpointer, c *testkit.Summed) map[string]func() {
	return map[string]func(){
		"Restore":      func() { _, err := cp.Restore(t.Context()); require.NoError(t, err) },
		"RestoreState": func() { require.NoError(t, c.RestoreState([]byte(`{"N":100}`))) },
	}
}

// onceHeld returns a Flaky adapter of which the next save waits until let is called.
func onceHeld(a *testkit.Flaky) (holds, let func()) {
	var mu sync.Mutex
	var turn chan struct{}
	a.On("save", func(string) error {
		mu.Lock()
		wait := turn
		turn = nil
		mu.Unlock()
		if wait != nil {
			<-wait
		}
		return nil
	})
	var last chan struct{}
	holds = func() { mu.Lock(); turn = make(chan struct{}); last = turn; mu.Unlock() }
	return holds, func() { close(last) }
}

func TestACommitThatMeetsARestoreIsNotAcknowledged(t *testing.T) {
	for _, consistent := range []bool{false, true} {
		for _, way := range []string{"Restore", "RestoreState"} {
			t.Run(way+" "+strconv.FormatBool(consistent), func(t *testing.T) {
				testkit.Bubble(t, func(t *testing.T) {
					a := testkit.NewFlaky()
					o := testkit.Quiet()
					o.Consistent = consistent
					d := testkit.StartDuo(t, a, o)
					require.NoError(t, d.Checkpoint(t.Context()))
					holds, let := onceHeld(a)
					holds()
					first := make(chan error, 1)
					go func() { first <- d.Left.Commit(t.Context(), func(s *testkit.Sum) { s.N = 1 }) }()
					synctest.Wait() // it is captured and being saved
					second, third, fourth := make(chan error, 1), make(chan error, 1), make(chan error, 1)
					go func() { second <- d.Left.Commit(t.Context(), func(s *testkit.Sum) { s.N = 2 }) }()
					go func() { d.Right.Add(1); third <- d.Checkpoint(t.Context(), "left", "right") }()
					go func() { fourth <- d.Left.CheckpointState(t.Context()) }()
					synctest.Wait()
					done := make(chan struct{})
					go func() { defer close(done); replacing(t, d.Checkpointer, d.Left)[way]() }()
					synctest.Wait()
					let()
					<-done
					<-first // may go either way
					for i, c := range []chan error{second, third, fourth} {
						err := <-c
						require.Error(t, err, i)
						if errors.Is(err, durable.ErrReplaced) {
							require.ErrorContains(t, err, "replaced by a restore")
						} else {
							require.ErrorIs(t, err, durable.ErrNotRestored, i)
						}
					}
					require.NoError(t, d.Left.Commit(t.Context(), func(s *testkit.Sum) { s.N = 7 }))
					require.NoError(t, d.Close())
					d = testkit.StartDuo(t, a, o)
					require.Equal(t, 7, d.Left.Value())
					require.NoError(t, d.Close())
				})
			})
		}
	}
}

func TestASaveThatBeganBeforeARestoreDoesNotMakeItClean(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for way := range replacing(t, nil, nil) {
			a := testkit.NewFlaky()
			d := testkit.StartDuo(t, a, testkit.Named("h", testkit.Quiet()))
			require.NoError(t, d.Checkpoint(t.Context()))
			holds, let := onceHeld(a)
			holds()
			saved := make(chan error, 1)
			go func() { saved <- d.Left.Commit(t.Context(), func(s *testkit.Sum) { s.N = 1 }) }()
			synctest.Wait()
			done := make(chan struct{})
			go func() { defer close(done); replacing(t, d.Checkpointer, d.Left)[way]() }()
			synctest.Wait()
			let()
			<-done
			<-saved
			want := d.Left.Value()
			require.NoError(t, d.Close())
			d = testkit.StartDuo(t, a, testkit.Named("h", testkit.Quiet()))
			require.Equal(t, want, d.Left.Value(), way)
			require.NoError(t, d.Close())
		}
	})
}

func TestACommitAcknowledgedAmongRestoresIsInTheStore(t *testing.T) {
	for _, consistent := range []bool{false, true} {
		a := durable.NewMemoryAdapter(nil)
		o := testkit.Quiet()
		o.Consistent = consistent
		h := testkit.Start(t, a, o)
		var mu sync.Mutex
		acked := map[string]bool{}
		var workers sync.WaitGroup
		done := make(chan struct{})
		for w := range 4 {
			workers.Go(func() {
				for i := range 100 {
					token := strconv.Itoa(w) + "-" + strconv.Itoa(i)
					if h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words[token]++ }) == nil {
						mu.Lock()
						acked[token] = true
						mu.Unlock()
					}
				}
			})
		}
		go func() { workers.Wait(); close(done) }()
		for working := true; working; {
			_, err := h.Restore(t.Context())
			require.NoError(t, err)
			select {
			case <-done:
				working = false
			case <-time.After(100 * time.Microsecond):
			}
		}
		require.NoError(t, h.Close())
		h = testkit.Start(t, a, o)
		for token := range acked {
			require.Equal(t, 1, h.Words.Count(token), token)
		}
		require.NoError(t, h.Close())
	}
}

func TestAFailedCommitSaysWhetherTheChangeWasMade(t *testing.T) {
	a := testkit.NewFlaky()
	h := testkit.Start(t, a, nil)
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	var err error
	h.Words.Update(func(*testkit.Counts) {
		err = h.Words.Commit(soon, func(c *testkit.Counts) { c.Words["never"]++ })
	})
	require.ErrorIs(t, err, durable.ErrNotApplied)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, `"words"`)
	require.Zero(t, h.Words.Count("never"))

	a.Down("save")
	err = h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["made"]++ })
	require.ErrorIs(t, err, testkit.ErrDown)
	require.NotErrorIs(t, err, durable.ErrNotApplied)
	require.NotErrorIs(t, err, durable.ErrReplaced)
	require.Equal(t, 1, h.Words.Count("made"))
	a.Up("save")
	require.NoError(t, h.Close())
}

func TestARestoreStateThatFailsTakesNoChangeAway(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		d := testkit.StartDuo(t, a, testkit.Quiet())
		holds, let := onceHeld(a)
		holds()
		saved := make(chan error, 3)
		go func() { saved <- d.Left.Commit(t.Context(), func(s *testkit.Sum) { s.N = 1 }) }()
		go func() { d.Right.Add(1); saved <- d.Checkpoint(t.Context()) }()
		go func() { saved <- d.Left.CheckpointState(t.Context()) }()
		synctest.Wait()
		require.Error(t, d.Left.RestoreState([]byte("no JSON")))
		require.Error(t, d.Left.RestoreState([]byte(`{"N":"text"}`)))
		let()
		for range cap(saved) {
			require.NoError(t, <-saved, "the change is there, and saved")
		}
		require.NoError(t, d.Close())
	})
}

func TestAStateThatAProgramPutsInDuringARestoreIsAChange(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	for round := range 300 {
		cp, c := durable.New(a, testkit.Named("h", testkit.Quiet())), &testkit.Summed{}
		require.NoError(t, cp.Register("c", c))
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		var both sync.WaitGroup
		both.Go(func() {
			for i := range 10 {
				assert.NoError(t, c.RestoreState([]byte(`{"N":`+strconv.Itoa(100*round+i)+`}`)))
			}
		})
		both.Go(func() { _, err := cp.Restore(t.Context()); assert.NoError(t, err) })
		both.Wait()
		want := c.Value()
		require.NoError(t, cp.Close())
		cp, c = durable.New(a, testkit.Named("h", testkit.Quiet())), &testkit.Summed{}
		require.NoError(t, cp.Register("c", c))
		_, err = cp.Restore(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, c.Value(), round)
		require.NoError(t, cp.Close())
	}
}
