package durable_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durablestate/durable"
	"github.com/stretchr/testify/require"
)

// stuckRestore hangs in RestoreState while its channel is open.
type stuckRestore struct {
	custom
	hang chan struct{}
}

func (s *stuckRestore) RestoreState(data []byte) error {
	if s.hang != nil {
		<-s.hang
	}
	return s.custom.RestoreState(data)
}

func TestARestoreThatHangsDoesNotStarveTheFinalSavesOfOthers(t *testing.T) { // P9
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := prepare(t, a, nil)
		stuck := &stuckRestore{}
		require.NoError(t, h.Register("stuck", stuck))
		_, err := h.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, h.Checkpoint(ctx))
		stuck.hang = make(chan struct{})
		go h.Restore(ctx, "stuck")
		synctest.Wait()
		h.words.add("last")
		require.Error(t, closeWithin(t, h, 20*time.Second))
		s, err := a.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "last")
		l, err := a.LoadLease(ctx, "")
		require.NoError(t, err)
		require.True(t, l.Released)
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
			bubble(t, func(t *testing.T) {
				block := make(chan struct{})
				d := &deaf{MemoryAdapter: durable.NewMemoryAdapter(nil)}
				h := prepare(t, d, nil)
				require.NoError(t, h.Register("hung", &broken{hang: block}))
				_, err := h.Restore(t.Context())
				require.NoError(t, err)
				if name == "renew" {
					d.renew = block
				} else {
					d.release = block
				}
				require.Error(t, closeWithin(t, h, 20*time.Second))
				close(block)
			})
		})
	}
}

func TestATinyLeaseTTLDoesNotStormTheStoreDuringClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		o := quiet()
		o.LeaseTTL = time.Millisecond
		o.CloseTimeout = 2 * time.Second
		h := prepare(t, a, o)
		hung := &broken{hang: make(chan struct{})}
		require.NoError(t, h.Register("hung", hung))
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		a.calls("", "")
		require.Error(t, h.Close())
		require.LessOrEqual(t, a.calls("renew", ""), 2001)
		close(hung.hang)
	})
}

func TestCloseDoesNotCallAComponentSavedThatItCouldNotAsk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		cp := durable.New(a, quiet())
		c := &custom{data: []byte("old")}
		require.NoError(t, cp.Register("c", c))
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, cp.Checkpoint(ctx))
		_, err = a.AcquireLease(ctx, "", leaseHolder(t, a), time.Hour) // a successor
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.ErrorIs(t, cp.Health(), durable.ErrFenced)
		c.data = []byte("new")
		var unsaved *durable.CloseError
		require.ErrorAs(t, cp.Close(), &unsaved, "nobody knows whether it changed since it was fenced")
	})
}

func TestAStateThatVanishedAndCouldNotBeWrittenAgainIsNotSaved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := newFlaky()
		require.NoError(t, a.MemoryAdapter.SaveState(ctx, "words", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words":{"x":1}}`)}))
		h := start(t, a, nil)
		require.NoError(t, h.Checkpoint(ctx))
		a.Memory().Wipe("words")
		a.down("save") // out of memory: reads and renewals go on
		require.Error(t, h.Checkpoint(ctx))
		require.True(t, h.Status()[0].Changed)
		require.Error(t, h.Close())
	})
}

func TestAnIntervalOfForEverIsHealthy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := quiet()
		o.Interval = 1 << 62 // 146 years
		h := start(t, durable.NewMemoryAdapter(nil), o)
		time.Sleep(time.Hour)
		require.NoError(t, h.Health())
		require.NoError(t, h.Close())
	})
}

// extended has more state than its StatefulComponent knows of.
type extended struct {
	wordCounter
	more string
}

func (e *extended) SnapshotState() ([]byte, error) {
	data, err := e.wordCounter.SnapshotState()
	return append([]byte(e.more+"|"), data...), err
}

func TestAComponentThatAddsToTheSnapshotIsComparedByItsBytes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := newFlaky()
		cp := durable.New(a, quiet())
		e := &extended{more: "old"}
		require.NoError(t, cp.Register("e", e))
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, cp.Checkpoint(ctx))
		require.NoError(t, cp.Checkpoint(ctx))
		require.Equal(t, 1, a.calls("save", "e"), "unchanged")
		e.more = "new"
		require.NoError(t, cp.Checkpoint(ctx))
		s, err := a.LoadState(ctx, "e")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "new", "the change count does not see all of the state")
		require.NoError(t, cp.Close())
	})
}

func TestAComponentThatAlwaysFailsDoesNotHideAnOutageFromTheLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, j := newFlaky(), &journal{}
		h := prepare(t, a, j.options())
		bad := durable.NewStatefulComponent(math.NaN())
		require.NoError(t, h.Register("bad", bad))
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, h.Start())
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.lineCount("component cannot be saved"), "said once")
		require.Zero(t, j.lineCount("state cannot be saved or read"))
		a.down("save", "refresh")
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.lineCount("state cannot be saved or read"))
		a.up("save", "refresh")
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.lineCount("all state can be saved and read again"))
		bad.Update(func(f *float64) { *f = 1 })
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.lineCount("every component can be saved again"))
		require.NoError(t, h.Close())
	})
}
