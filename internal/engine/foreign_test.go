package engine_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// unruly is a component that does wrong, once, in the method that is named.
type unruly struct {
	testkit.Custom
	in    string
	wrong func()
}

func (u *unruly) meets(in string) {
	if u.in == in {
		u.in = ""
		u.wrong()
	}
}

func (u *unruly) SnapshotState() ([]byte, error) {
	u.meets("SnapshotState")
	return u.Custom.SnapshotState()
}
func (u *unruly) RestoreState(b []byte) error {
	u.meets("RestoreState")
	return u.Custom.RestoreState(b)
}
func (u *unruly) InitState()       { u.meets("InitState") }
func (u *unruly) StateSchema() int { u.meets("StateSchema"); return 1 }
func (u *unruly) MigrateState(int, []byte) ([]byte, error) {
	u.meets("MigrateState")
	return []byte("migrated"), nil
}

var wrongs = map[string]func(){"panics": func() { panic("boom") }, "exits": runtime.Goexit}

// unrulyProgram returns a program of an unruly component and a good one.
func unrulyProgram(t *testing.T, a durable.StateAdapter, o *durable.Options) (*durable.Checkpointer, *unruly, *testkit.Custom) {
	t.Helper()
	cp, bad, good := durable.New(a, o), &unruly{}, &testkit.Custom{}
	require.NoError(t, cp.Register("bad", bad))
	require.NoError(t, cp.Register("good", good))
	return cp, bad, good
}

func each(t *testing.T, fn func(t *testing.T, wrong func(), o *durable.Options)) {
	for how, wrong := range wrongs {
		for _, consistent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, consistent %t", how, consistent), func(t *testing.T) {
				testkit.Bubble(t, func(t *testing.T) {
					o := testkit.Named("h", testkit.Quiet())
					o.Consistent = consistent
					fn(t, wrong, o)
				})
			})
		}
	}
}

func TestAComponentThatDoesNotReturnLosesThatSaveOnly(t *testing.T) {
	each(t, func(t *testing.T, wrong func(), o *durable.Options) {
		for _, in := range []string{"SnapshotState", "StateSchema"} {
			cp, bad, good := unrulyProgram(t, durable.NewMemoryAdapter(nil), o)
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			bad.in, bad.wrong = in, wrong
			require.ErrorContains(t, cp.Checkpoint(t.Context(), "bad"), "SnapshotState")
			bad.Data, good.Data = []byte("1"), []byte("2")
			require.NoError(t, cp.Checkpoint(t.Context(), "bad"))
			require.NoError(t, cp.Checkpoint(t.Context(), "good"))
			require.NoError(t, testkit.CloseWithin(t, cp, time.Second))
		}
	})
}

func TestAComponentThatDoesNotReturnFromItsRestoreIsNotCalledRestored(t *testing.T) {
	each(t, func(t *testing.T, wrong func(), o *durable.Options) {
		for _, in := range []string{"RestoreState", "StateSchema"} {
			a := durable.NewMemoryAdapter(nil)
			cp, bad, _ := unrulyProgram(t, a, o)
			bad.Data = []byte("1")
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			require.NoError(t, cp.Close())

			cp, bad, _ = unrulyProgram(t, a, o)
			bad.in, bad.wrong = in, wrong
			report, err := cp.Restore(t.Context())
			require.ErrorContains(t, err, "RestoreState")
			r, _ := report.Component("bad")
			require.Equal(t, durable.Rejected, r.Outcome)
			require.Error(t, r.Err)
			require.ErrorIs(t, cp.Checkpoint(t.Context(), "bad"), durable.ErrNotRestored)
			_, err = cp.Restore(t.Context())
			require.NoError(t, err)
			require.Equal(t, "1", string(bad.Data))
			require.NoError(t, cp.Close())
		}
	})
}

func TestAHookThatDoesNotReturnIsAnErrorOfRegister(t *testing.T) {
	for how, wrong := range wrongs {
		for _, in := range []string{"InitState", "StateSchema"} {
			cp := durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet())
			u := &unruly{in: in, wrong: wrong}
			require.ErrorContains(t, cp.Register("bad", u), "InitState", how)
			require.NoError(t, cp.Register("bad", u), "and the id is free again")
			require.NoError(t, cp.Close())
		}
	}
}

func TestAnUpdateThatDoesNotReturnLeavesTheComponentUsable(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		h := testkit.Start(t, durable.NewMemoryAdapter(nil), nil)
		for _, call := range []func(){
			func() { h.Words.Update(func(*testkit.Counts) { runtime.Goexit() }) },
			func() { h.Words.View(func(*testkit.Counts) { runtime.Goexit() }) },
			func() { _ = h.Words.Commit(t.Context(), func(*testkit.Counts) { runtime.Goexit() }) },
			func() { h.Do(runtime.Goexit) },
		} {
			done := make(chan struct{})
			go func() { defer close(done); call() }()
			<-done
			require.Panics(t, func() { h.Words.Update(func(*testkit.Counts) { panic("boom") }) }, "it is the program's own")
			require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["x"]++ }))
		}
		require.NoError(t, h.Close())
	})
}

func TestAListenerOrALogThatDoesNotReturnHarmsNoSave(t *testing.T) {
	ways := map[string]func(){"hangs": func() { select {} }}
	for how, wrong := range wrongs {
		ways[how] = wrong
	}
	for how, wrong := range ways {
		t.Run(how, func(t *testing.T) {
			o := testkit.Quiet()
			o.OnEvent = func(durable.Event) { wrong() }
			o.Logger = slog.New(unrulyLog{wrong})
			h := testkit.Start(t, durable.NewMemoryAdapter(nil), o)
			for range 3 {
				require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["x"]++ }))
			}
			require.NoError(t, h.Close())
		})
	}
}

// unrulyLog is a log handler that does wrong with every record.
type unrulyLog struct{ wrong func() }

func (l unrulyLog) Enabled(context.Context, slog.Level) bool  { return true }
func (l unrulyLog) Handle(context.Context, slog.Record) error { l.wrong(); return nil }
func (l unrulyLog) WithAttrs([]slog.Attr) slog.Handler        { return l }
func (l unrulyLog) WithGroup(string) slog.Handler             { return l }

// unrulyAdapter does wrong once in the method that is named.
type unrulyAdapter struct {
	*durable.MemoryAdapter
	unruly
}

func (u *unrulyAdapter) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	u.meets("SaveState")
	return u.MemoryAdapter.SaveState(ctx, id, s)
}

func (u *unrulyAdapter) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	u.meets("LoadState")
	return u.MemoryAdapter.LoadState(ctx, id)
}

func (u *unrulyAdapter) ClaimState(ctx context.Context, id string, epoch uint64) error {
	u.meets("ClaimState")
	return u.MemoryAdapter.ClaimState(ctx, id, epoch)
}

func (u *unrulyAdapter) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	u.meets("AcquireLease")
	return u.MemoryAdapter.AcquireLease(ctx, name, holder, ttl)
}

func (u *unrulyAdapter) LoadLease(ctx context.Context, name string) (*durable.Lease, error) {
	u.meets("LoadLease")
	return u.MemoryAdapter.LoadLease(ctx, name)
}

func (u *unrulyAdapter) RenewLease(ctx context.Context, l *durable.Lease) error {
	u.meets("RenewLease")
	return u.MemoryAdapter.RenewLease(ctx, l)
}

func (u *unrulyAdapter) ReleaseLease(ctx context.Context, l *durable.Lease) error {
	u.meets("ReleaseLease")
	return u.MemoryAdapter.ReleaseLease(ctx, l)
}

func TestAnAdapterThatDoesNotReturnLosesThatCallOnly(t *testing.T) {
	each(t, func(t *testing.T, wrong func(), o *durable.Options) {
		for _, in := range []string{"LoadState", "ClaimState", "AcquireLease", "LoadLease", "SaveState", "RenewLease", "ReleaseLease"} {
			a := &unrulyAdapter{MemoryAdapter: durable.NewMemoryAdapter(nil), unruly: unruly{wrong: wrong}}
			a.in = in
			h := testkit.Start(t, a, o)
			if in == "SaveState" {
				require.ErrorContains(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["x"]++ }), in)
			}
			time.Sleep(time.Minute)
			require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["x"]++ }), in)
			require.NoError(t, h.Close(), in)
			require.Empty(t, a.in, "it was called")
		}
	})
}

// empty is an adapter that answers nothing at all.
type empty struct{ durable.StateAdapter }

func (empty) LoadState(context.Context, string) (*durable.Snapshot, error) { return nil, nil }
func (empty) ListComponents(context.Context) iter.Seq2[string, error]      { return nil }
func (empty) ListSnapshots(context.Context, string) ([]durable.SnapshotInfo, error) {
	return nil, nil
}
func (empty) LoadSnapshot(context.Context, string, uint64) (*durable.Snapshot, error) {
	return nil, nil
}

// leaseless is an adapter whose leases are nil.
type leaseless struct{ *durable.MemoryAdapter }

func (leaseless) AcquireLease(context.Context, string, string, time.Duration) (*durable.Lease, error) {
	return nil, nil
}

// wrapsItself is a wrapper that does not end.
type wrapsItself struct{ durable.StateAdapter }

func (w *wrapsItself) Unwrap() durable.StateAdapter { return w }

// breaks is a wrapper that cannot be asked.
type breaks struct{ durable.StateAdapter }

func (breaks) Unwrap() durable.StateAdapter { runtime.Goexit(); return nil }

func TestAnAdapterThatAnswersNothingIsAnErrorAtOnce(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for _, a := range []durable.StateAdapter{empty{testkit.FourMethods{StateAdapter: durable.NewMemoryAdapter(nil)}}, leaseless{durable.NewMemoryAdapter(nil)}} {
			begin := time.Now()
			h := testkit.Prepare(t, a, nil)
			_, err := h.Restore(t.Context())
			require.ErrorContains(t, err, "neither a result nor an error")
			require.ErrorIs(t, err, durable.ErrPermanent)
			require.Zero(t, time.Since(begin))
			require.ErrorIs(t, h.Words.Commit(t.Context(), func(*testkit.Counts) {}), durable.ErrNotRestored)
			require.Error(t, h.Close(), "a change that is not saved")
		}
	})
}

func TestAWrapperInACircleWrapsNothing(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		four := func() durable.StateAdapter { return testkit.FourMethods{StateAdapter: durable.NewMemoryAdapter(nil)} }
		for _, a := range []durable.StateAdapter{&wrapsItself{four()}, breaks{four()}} {
			o := testkit.Quiet()
			o.Spill = a
			h := testkit.Start(t, durable.NewMemoryAdapter(nil), o)
			require.NoError(t, h.Close())
			h = testkit.Start(t, a, nil)
			require.NoError(t, h.Close())
		}
	})
}

func TestARestoreThatComesBackAfterCloseRestoredNothing(t *testing.T) {
	for _, consistent := range []bool{false, true} {
		testkit.Bubble(t, func(t *testing.T) {
			a, turn := durable.NewMemoryAdapter(nil), make(chan struct{})
			o := testkit.Named("h", testkit.Quiet())
			o.Consistent = consistent
			cp, _, _ := unrulyProgram(t, a, o)
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			require.NoError(t, cp.Close())

			cp, bad, _ := unrulyProgram(t, a, o)
			bad.in, bad.wrong = "RestoreState", func() { <-turn }
			var report durable.Report
			done := make(chan error)
			go func() {
				var err error
				report, err = cp.Restore(t.Context())
				done <- err
			}()
			synctest.Wait()
			_ = testkit.CloseWithin(t, cp, 20*time.Second)
			close(turn)
			require.ErrorIs(t, <-done, durable.ErrClosed)
			mayRun(t, report, 2)
		})
	}
}
