package durable_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/envelope"
)

// sum is a small state that can be cloned.
type sum struct{ N int }

func (t *sum) Clone() sum { return *t }

type summed struct {
	durable.StatefulComponent[sum]
}

func (c *summed) n() (n int) {
	c.View(func(t *sum) { n = t.N })
	return n
}

func (c *summed) add(n int) { c.Update(func(t *sum) { t.N += n }) }

// duo is a Checkpointer with two components, left and right, which every unit of
// work changes alike.
type duo struct {
	*durable.Checkpointer
	left, right *summed
	report      durable.Report
}

func consistent(o *durable.Options) *durable.Options {
	o.Consistent = true
	return o
}

func prepareDuo(t *testing.T, a durable.StateAdapter, opts *durable.Options) duo {
	t.Helper()
	d := duo{Checkpointer: durable.New(a, opts), left: &summed{}, right: &summed{}}
	require.NoError(t, d.Register("left", d.left))
	require.NoError(t, d.Register("right", d.right))
	return d
}

func startDuo(t *testing.T, a durable.StateAdapter, opts *durable.Options) duo {
	t.Helper()
	d := prepareDuo(t, a, opts)
	var err error
	d.report, err = d.Restore(t.Context())
	require.NoError(t, err)
	require.NoError(t, d.Start())
	return d
}

func (d duo) work() {
	d.Do(func() {
		d.left.add(1)
		d.right.add(1)
	})
}

func (d duo) requireBoth(t *testing.T, n int, o durable.Outcome) {
	t.Helper()
	require.Equal(t, [2]int{n, n}, [2]int{d.left.n(), d.right.n()})
	for _, r := range d.report.Results {
		require.Equal(t, o, r.Outcome, r.ComponentID)
	}
	require.Len(t, d.report.Results, 2)
}

// storedSet returns the states in the stored set.
func storedSet(t *testing.T, a durable.StateAdapter, name string) map[string]string {
	t.Helper()
	s, err := a.LoadState(t.Context(), name)
	require.NoError(t, err)
	states := map[string]string{}
	for rest := s.Data; len(rest) > 0; {
		r, n, err := envelope.Parse(rest)
		require.NoError(t, err)
		states[r.ID] = string(r.Data)
		rest = rest[n:]
	}
	return states
}

func TestASetHoldsTheEnvelopesOfAllComponentsOneAfterTheOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		o := consistent(quiet())
		o.System = "sys"
		d := startDuo(t, a, o)
		d.work()
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, map[string]string{"left": `{"N":1}`, "right": `{"N":1}`}, storedSet(t, a, "sys/~set"))
		require.Zero(t, a.calls("save", "sys/left"), "nothing is saved by itself")
		require.NoError(t, d.Close())
		d = startDuo(t, a, o)
		d.requireBoth(t, 1, durable.Restored)
		require.True(t, d.report.CleanShutdown)
		require.NoError(t, d.Close())
	})
}

func TestACaptureNeverFallsInsideAUnitOfWork(t *testing.T) {
	require.NoError(t, cutsAreConsistent(t, func(*durable.Checkpointer) {}, 300))
}

// Each of these breaks the capture, and the test above would notice.
func TestABrokenCaptureIsNoticed(t *testing.T) {
	for name, mutate := range durable.SetMutants {
		require.Error(t, cutsAreConsistent(t, mutate, 10_000), name)
	}
}

// cutsAreConsistent reads sets that are saved while units of work run, and outside
// of them Updates of a third component, and says what is wrong with one.
func cutsAreConsistent(t *testing.T, mutate func(*durable.Checkpointer), cuts int) error {
	a := newFlaky()
	d := duo{Checkpointer: durable.New(a, consistent(quiet())), left: &summed{}, right: &summed{}}
	plain := &torn{}
	require.NoError(t, d.Register("left", d.left))
	require.NoError(t, d.Register("right", d.right))
	require.NoError(t, d.Register("torn", plain))
	_, err := d.Restore(t.Context())
	require.NoError(t, err)
	mutate(d.Checkpointer)
	var stop atomic.Bool
	var workers sync.WaitGroup
	var done atomic.Int64
	for range 4 {
		workers.Go(func() {
			for !stop.Load() {
				d.Do(func() {
					d.left.add(1)
					runtime.Gosched()
					d.right.add(1)
					done.Add(1)
				})
				plain.Update(func(s *[2]int) { s[0]++; s[1]++ })
			}
		})
	}
	for range cuts {
		before := int(done.Load())
		if err = d.Checkpoint(t.Context()); err != nil {
			break
		}
		if err = judgeCut(storedSet(t, a, "~set"), before); err != nil {
			break
		}
	}
	stop.Store(true)
	workers.Wait()
	_ = d.Close()
	return err
}

// judgeCut says what is wrong with a set that was asked for when at least so many
// units were done.
func judgeCut(s map[string]string, atLeast int) error {
	var left, right, x, y int
	_, err1 := fmt.Sscanf(s["left"], `{"N":%d}`, &left)
	_, err2 := fmt.Sscanf(s["right"], `{"N":%d}`, &right)
	_, err3 := fmt.Sscanf(s["torn"], `[%d,%d]`, &x, &y)
	switch err := errors.Join(err1, err2, err3); {
	case err != nil:
		return fmt.Errorf("%v: %w", s, err)
	case left != right:
		return fmt.Errorf("a unit of work is half in it: %d and %d", left, right)
	case left < atLeast:
		return fmt.Errorf("it has %d units, and %d were done before", left, atLeast)
	case x != y:
		return fmt.Errorf("an Update is half in it: %d and %d", x, y)
	}
	return nil
}

type torn struct {
	durable.StatefulComponent[[2]int]
}

func TestWithoutConsistentDoJustCallsIt(t *testing.T) {
	cp := durable.New(durable.NewMemoryAdapter(nil), quiet())
	n := 0
	cp.Do(func() { cp.Do(func() { n++ }) })
	require.Equal(t, 1, n)
	require.NoError(t, cp.Close())
}

func TestDoRunsBeforeRestoreAndAfterClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		d := prepareDuo(t, a, consistent(quiet()))
		d.work()
		_, err := d.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, d.Close())
		d.work()
		d = startDuo(t, a, consistent(quiet()))
		d.requireBoth(t, 1, durable.Restored)
		require.NoError(t, d.Close())
	})
}

func TestDoEndsWhenItsFunctionPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := startDuo(t, durable.NewMemoryAdapter(nil), consistent(quiet()))
		require.Panics(t, func() { d.Do(func() { panic("oh") }) })
		require.NoError(t, d.Checkpoint(t.Context()))
		require.NoError(t, d.Close())
	})
}

func TestCommitOfAPartReturnsWhenACutWithItIsStoredAndCommitsShareCuts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		d := startDuo(t, a, consistent(quiet()))
		require.NoError(t, d.left.Commit(t.Context(), func(s *sum) { s.N = 7 }))
		require.Equal(t, `{"N":7}`, storedSet(t, a, "~set")["left"])
		release := make(chan struct{})
		a.on("save", func(string) error { <-release; return nil })
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { require.NoError(t, d.left.Commit(t.Context(), func(s *sum) { s.N++ })) })
			wg.Go(func() { require.NoError(t, d.right.Commit(t.Context(), func(s *sum) { s.N++ })) })
			synctest.Wait()
		}
		a.calls("", "")
		close(release)
		wg.Wait()
		require.LessOrEqual(t, a.calls("save", "~set"), 1)
		require.Equal(t, map[string]string{"left": `{"N":57}`, "right": `{"N":50}`}, storedSet(t, a, "~set"))
		require.NoError(t, d.Close())
	})
}

func TestCommitInsideDoEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := startDuo(t, durable.NewMemoryAdapter(nil), consistent(quiet()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d.Do(func() {
			require.ErrorIs(t, d.left.Commit(ctx, func(s *sum) { s.N++ }), context.DeadlineExceeded)
		})
		require.NoError(t, d.Checkpoint(t.Context()))
		require.NoError(t, d.Close())
	})
}

func TestAUnitThatHangsFailsTheSaveAndStopsNobodyForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		j := &journal{}
		d := startDuo(t, durable.NewMemoryAdapter(nil), consistent(j.options()))
		hang := make(chan struct{})
		go d.Do(func() { <-hang })
		synctest.Wait()
		err := d.Checkpoint(t.Context())
		require.ErrorContains(t, err, "unit of work does not end")
		d.work()
		close(hang)
		require.NoError(t, d.Checkpoint(t.Context()))
		require.NoError(t, d.Close())
	})
}

// silent hangs in SnapshotState, fails or panics on demand.
type silent struct {
	summed
	do func() error
}

func (s *silent) SnapshotState() ([]byte, error) {
	if s.do != nil {
		if err := s.do(); err != nil {
			return nil, err
		}
	}
	return s.summed.SnapshotState()
}

func TestOnePartThatCannotGiveItsStateFailsTheSaveAndIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hang := make(chan struct{})
		for name, do := range map[string]func() error{
			"NaN":   func() error { return errors.New("NaN") },
			"panic": func() error { panic("oh") },
			"in time": func() error {
				<-hang
				return nil
			},
		} {
			a := newFlaky()
			d := prepareDuo(t, a, consistent(quiet()))
			bad := &silent{}
			require.NoError(t, d.Register("bad", bad))
			_, err := d.Restore(t.Context())
			require.NoError(t, err)
			d.work()
			require.NoError(t, d.Checkpoint(t.Context()))
			d.work()
			bad.do = do
			bad.add(1)
			err = d.Checkpoint(t.Context())
			require.ErrorContains(t, err, name)
			require.ErrorContains(t, err, `"bad"`)
			require.Equal(t, `{"N":1}`, storedSet(t, a, "~set")["left"], "no cut without it")
			d.work() // units go on
			err = d.Close()
			var ce *durable.CloseError
			require.ErrorAs(t, err, &ce)
			require.ErrorContains(t, err, `"left"`)
			if name == "in time" {
				close(hang)
			}
		}
	})
}

func TestAnUnchangedSetIsKeptAliveAndAChangedPartAloneIsEncoded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, j := newFlaky(), &journal{}
		o := consistent(j.options())
		o.Interval = time.Second
		d := prepareDuo(t, a, o)
		c := &custom{data: []byte("x")}
		require.NoError(t, d.Register("custom", c))
		_, err := d.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, d.Checkpoint(t.Context()))
		first, err := a.LoadState(t.Context(), "~set")
		require.NoError(t, err)
		require.NoError(t, d.Checkpoint(t.Context()))
		again, err := a.LoadState(t.Context(), "~set")
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.Equal(t, 1, j.count("skip"))
		c.data = []byte("y")
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, "y", storedSet(t, a, "~set")["custom"])
		d.left.add(1)
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, map[string]string{"left": `{"N":1}`, "right": `{"N":0}`, "custom": "y"}, storedSet(t, a, "~set"))
		a.Memory().Wipe("~set")
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, 1, j.count("vanished"))
		require.Equal(t, map[string]string{"left": `{"N":1}`, "right": `{"N":0}`, "custom": "y"}, storedSet(t, a, "~set"))
		require.NoError(t, d.Close())
	})
}

func TestAComponentThatMakesMoreOfItsSnapshotIsCapturedWithIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		cp := durable.New(a, consistent(quiet()))
		w := &appended{}
		require.NoError(t, cp.Register("w", w))
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		for i := range 3 {
			w.more = i
			require.NoError(t, cp.Checkpoint(t.Context()))
			require.Equal(t, fmt.Sprintf(`{"N":0}%d`, i), storedSet(t, a, "~set")["w"])
		}
		require.NoError(t, cp.Close())
	})
}

type appended struct {
	summed
	more int
}

func (w *appended) SnapshotState() ([]byte, error) {
	b, err := w.summed.SnapshotState()
	return fmt.Append(b, w.more), err
}

func TestThePauseIsMeasuredAndAboveItsLimitWarnedOfOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		j := &journal{}
		o := consistent(j.options())
		d := prepareDuo(t, newFlaky(), o)
		slow := &silent{do: func() error { time.Sleep(30 * time.Millisecond); return nil }}
		require.NoError(t, d.Register("slow", slow))
		_, err := d.Restore(t.Context())
		require.NoError(t, err)
		for range 5 {
			d.work()
			slow.add(1)
			require.NoError(t, d.Checkpoint(t.Context()))
		}
		require.Equal(t, 1, j.lineCount("PauseLimit"), j.text())
		require.Contains(t, j.text(), "component=slow cost=30ms")
		for _, s := range d.Status() {
			require.Equal(t, map[string]time.Duration{"slow": 30 * time.Millisecond, "~set": 30 * time.Millisecond}[s.ComponentID], s.Pause, s.ComponentID)
		}
		saves := 0
		for _, e := range j.events {
			if e.Op == "save" {
				saves++
				require.Equal(t, "~set", e.ComponentID)
				require.Equal(t, 30*time.Millisecond, e.Pause)
			}
		}
		require.Equal(t, 5, saves)
		require.NoError(t, d.Close())
	})
}

func TestStatusTellsOfEveryComponentAndOfTheSet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := startDuo(t, newFlaky(), consistent(quiet()))
		require.NoError(t, d.Checkpoint(t.Context()))
		d.left.add(1)
		all := d.Status()
		require.Len(t, all, 3)
		require.Equal(t, []string{"left", "right", "~set"}, []string{all[0].ComponentID, all[1].ComponentID, all[2].ComponentID})
		require.Equal(t, []bool{true, false, true}, []bool{all[0].Changed, all[1].Changed, all[2].Changed})
		require.Equal(t, all[2].Version, all[0].Version)
		require.Equal(t, 7, all[0].Bytes)
		require.Greater(t, all[2].Bytes, 14)
		require.NoError(t, d.Checkpoint(t.Context()))
		require.False(t, d.Status()[0].Changed)
		require.NoError(t, d.Health())
		require.NoError(t, d.Close())
	})
}

func TestCloseListsTheComponentsWhoseChangesAreNotInASet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		d := startDuo(t, a, consistent(quiet()))
		require.NoError(t, d.Checkpoint(t.Context()))
		d.right.add(1)
		a.down("save", "refresh")
		var ce *durable.CloseError
		require.ErrorAs(t, d.Close(), &ce)
		require.Len(t, ce.Unsaved, 1)
		require.Equal(t, "right", ce.Unsaved[0].ComponentID)
		require.ErrorIs(t, ce.Unsaved[0].Err, errDown)
	})
}

func TestConsistentRefusesIntervalsOfComponentsAndARestoreOfSome(t *testing.T) {
	o := consistent(quiet())
	o.Components = map[string]durable.ComponentOptions{"left": {Interval: time.Second}}
	require.ErrorContains(t, durable.New(newFlaky(), o).Start(), "cannot go with Options.Consistent")
	d := prepareDuo(t, newFlaky(), consistent(quiet()))
	_, err := d.Restore(t.Context(), "left")
	require.ErrorContains(t, err, "as one set")
	_, err = d.Restore(t.Context(), "right", "left")
	require.NoError(t, err)
	require.NoError(t, d.Close())
}

func TestASetThatIsFencedIsRestoredAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		o := consistent(quiet())
		o.Holder = "same"
		old := startDuo(t, a, o)
		old.work()
		require.NoError(t, old.Checkpoint(t.Context()))
		next := startDuo(t, a, o)
		old.work()
		require.ErrorIs(t, old.left.CheckpointState(t.Context()), durable.ErrFenced)
		require.ErrorIs(t, old.Health(), durable.ErrFenced)
		next.requireBoth(t, 1, durable.Restored)
		require.NoError(t, next.Close())
		var err error
		old.report, err = old.Restore(t.Context())
		require.NoError(t, err)
		old.requireBoth(t, 1, durable.Restored)
		old.work()
		require.NoError(t, old.Checkpoint(t.Context()))
		require.NoError(t, old.Close())
	})
}

func BenchmarkDo(b *testing.B) {
	cp := durable.New(durable.NewMemoryAdapter(nil), consistent(&durable.Options{Logger: slog.New(slog.DiscardHandler)}))
	defer cp.Close()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			cp.Do(func() {})
		}
	})
}
