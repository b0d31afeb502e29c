package recovery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/testkit"
)

func TestADeletionThatASetKeepsDoesNotKeepTheSetInMemory(t *testing.T) {
	heap := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	a := durable.NewMemoryAdapter(nil)
	large := durable.NewStatefulComponent(strings.Repeat("x", 16<<20))
	cp := durable.New(a, testkit.Consistent(testkit.Quiet()))
	require.NoError(t, cp.Register("large", large))
	require.NoError(t, cp.Register("removed", &testkit.Summed{}))
	_, err := cp.Restore(t.Context())
	require.NoError(t, err)
	require.NoError(t, cp.Close())
	deleteFromSet(t, a, "removed")

	cp, large = nil, &durable.StatefulComponent[string]{}
	before := heap() // what the adapter holds
	cp = durable.New(a, testkit.Consistent(testkit.Quiet()))
	require.NoError(t, cp.Register("large", large))
	_, err = cp.Restore(t.Context())
	require.NoError(t, err)
	large.Update(func(s *string) { *s = "" })
	require.Less(t, heap(), before+8<<20)
	require.NoError(t, cp.Close())
}

func TestMembersThatAreAddedStartByPolicyAndRemovedOnesAreKeptUntilToldOtherwise(t *testing.T) {
	testkit.OnEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		d := testkit.StartDuo(t, open(), testkit.Consistent(testkit.Quiet()))
		d.Work()
		require.NoError(t, d.Close())

		only := func(o *durable.Options) (*durable.Checkpointer, *testkit.Summed, durable.Report) {
			cp, left := durable.New(open(), testkit.Consistent(o)), &testkit.Summed{}
			require.NoError(t, cp.Register("left", left))
			report, err := cp.Restore(t.Context())
			require.NoError(t, err)
			return cp, left, report
		}
		j := &testkit.Journal{}
		cp, left, report := only(j.Options())
		require.Equal(t, []string{"right"}, report.Unregistered)
		require.Contains(t, j.Text(), "not registered")
		require.NoError(t, left.Commit(t.Context(), func(s *testkit.Sum) { s.N = 5 }))
		require.NoError(t, cp.Close())

		d = testkit.StartDuo(t, open(), testkit.Consistent(testkit.Quiet()))
		require.Equal(t, [2]int{5, 1}, [2]int{d.Left.Value(), d.Right.Value()}, "the state of the removed one was carried along")
		require.Empty(t, d.Report.Unregistered)
		require.NoError(t, d.Close())

		deleteFromSet(t, open(), "right")
		cp, _, report = only(testkit.Quiet())
		require.Empty(t, report.Unregistered)
		require.NoError(t, cp.Checkpoint(t.Context()))
		require.NoError(t, cp.Close())

		o := testkit.Consistent(testkit.Quiet())
		o.Components = map[string]durable.ComponentOptions{"right": {Restore: durable.RestoreRequired}}
		d = testkit.PrepareDuo(t, open(), o)
		_, err := d.Restore(t.Context())
		require.ErrorContains(t, err, `"right"`)
		require.ErrorIs(t, d.Left.CheckpointState(t.Context()), durable.ErrNotRestored, "a set is restored as one")
		_ = d.Close() // it lists what it did not restore

		d = testkit.StartDuo(t, open(), testkit.Consistent(testkit.Quiet()))
		require.Equal(t, [2]int{5, 0}, [2]int{d.Left.Value(), d.Right.Value()})
		r, _ := d.Report.Component("right")
		require.Equal(t, durable.FirstBoot, r.Outcome)
		require.NoError(t, d.Close())
	})
}

// deleteFromSet does what the command does: it puts a deletion, above all that was
// ever stored of the component, in its place in the stored set.
func deleteFromSet(t *testing.T, a durable.StateAdapter, id string) {
	t.Helper()
	set, err := a.LoadState(t.Context(), "~set")
	require.NoError(t, err)
	epoch, version := set.Epoch, set.Version
	if own, err := a.LoadState(t.Context(), id); err == nil {
		epoch, version = max(epoch, own.Epoch), max(version, own.Version)
	}
	var data []byte
	found := false
	for rest := set.Data; len(rest) > 0; {
		r, n, err := envelope.Parse(rest)
		require.NoError(t, err)
		if r.ID == id {
			found = true
			r = &envelope.Record{ID: id, Kind: envelope.Deletion, Snapshot: store.Snapshot{Epoch: epoch, Version: version, WriteID: "deletion", SavedAt: time.Now()}}
		}
		data, err = envelope.Append(data, r)
		require.NoError(t, err)
		rest = rest[n:]
	}
	require.True(t, found, "the set has no %q", id)
	set.Epoch, set.Version, set.WriteID, set.Data = 0, 0, "", data
	require.NoError(t, a.SaveState(t.Context(), "~set", set))
}

func TestAStateThatASetCarriesForSomebodyElseDoesNotBecomeNewer(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	d := testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
	d.Work() // right is 1 in the set
	require.NoError(t, d.Close())
	d = testkit.StartDuo(t, a, testkit.Quiet())
	d.Work() // and 2 by itself
	require.NoError(t, d.Close())
	cp := durable.New(a, testkit.Consistent(testkit.Quiet()))
	require.NoError(t, cp.Register("left", &testkit.Summed{})) // carries the old right along
	_, err := cp.Restore(t.Context())
	require.NoError(t, err)
	require.NoError(t, cp.Close())
	for _, o := range []*durable.Options{testkit.Quiet(), testkit.Consistent(testkit.Quiet())} {
		d = testkit.StartDuo(t, a, o)
		d.RequireBoth(t, 2, durable.Restored)
		require.NoError(t, d.Close())
	}
}

func TestDeletedStateStaysDeletedInEitherMode(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	d := testkit.StartDuo(t, a, testkit.Quiet())
	d.Work()
	require.NoError(t, d.Close())
	d = testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
	d.Work()
	require.NoError(t, d.Close())
	require.NoError(t, a.DeleteState(t.Context(), "~set"))
	d = testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
	d.RequireBoth(t, 0, durable.FirstBoot) // and not what they were before they became a set
	d.Work()
	require.NoError(t, d.Close())
	d = testkit.StartDuo(t, a, testkit.Quiet())
	d.Work()
	d.RequireBoth(t, 2, durable.Restored)
	require.NoError(t, d.Close())
	require.NoError(t, a.DeleteState(t.Context(), "left"))
	d = testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
	require.Equal(t, [2]int{0, 2}, [2]int{d.Left.Value(), d.Right.Value()}, "right is not touched by it")
	require.NoError(t, d.Close())
}

func TestAnUnreadableSetIsNotPassedOverForOlderSingleStates(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	d := testkit.StartDuo(t, a, testkit.Quiet())
	d.Work()
	require.NoError(t, d.Close())
	d = testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
	d.Work()
	require.NoError(t, d.Close())
	testkit.Memory(t, a).Wipe("~set")
	for _, o := range []*durable.Options{testkit.Quiet(), testkit.Consistent(testkit.Quiet())} {
		d = testkit.PrepareDuo(t, a, o)
		_, err := d.Restore(t.Context())
		require.ErrorIs(t, err, durable.ErrLost)
		_ = d.Close()
	}
}

// refusing is an adapter that refuses to save while down.
type refusing struct {
	durable.StateAdapter
	down *atomic.Bool
}

func (r refusing) Unwrap() durable.StateAdapter { return r.StateAdapter }

func (r refusing) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if r.down.Load() {
		return testkit.ErrDown
	}
	return r.StateAdapter.SaveState(ctx, id, s)
}

func TestASetSpillsAndIsTakenFromThereInEitherMode(t *testing.T) {
	testkit.OnEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		for life, set := range []bool{true, false} {
			var down atomic.Bool
			o, next := testkit.Consistent(testkit.Quiet()), testkit.Quiet()
			o.CloseTimeout, next.Consistent = time.Second, set
			o.Spill = durable.NewMemoryAdapter(nil)
			next.Spill = o.Spill
			d := testkit.StartDuo(t, refusing{open(), &down}, testkit.Named("same", o))
			d.Work()
			require.NoError(t, d.Checkpoint(t.Context()))
			d.Work()
			down.Store(true)
			require.ErrorIs(t, d.Close(), testkit.ErrDown)
			d = testkit.StartDuo(t, open(), testkit.Named("same", next))
			d.RequireBoth(t, 2*life+2, durable.Restored)
			require.NoError(t, d.Close())
		}
	})
}

func TestASetFallsBackToTheSetBefore(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	d := testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
	for range 3 {
		d.Work()
		require.NoError(t, d.Checkpoint(t.Context()))
	}
	require.NoError(t, d.Close())
	testkit.Memory(t, a).Corrupt("~set")
	d = testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
	d.RequireBoth(t, 2, durable.FellBack)
	require.Equal(t, []uint64{3}, d.Report.Results[0].Skipped)
	d.Work()
	require.NoError(t, d.Close())
}

type stubborn struct{ testkit.Summed }

func (p *stubborn) StateSchema() int { return 1 }

func (p *stubborn) MigrateState(int, []byte) ([]byte, error) {
	return nil, errors.New("cannot")
}

func TestAPartThatIsRejectedIsSetAsideOrStopsTheSet(t *testing.T) {
	for _, policy := range []durable.RestorePolicy{durable.FreshIfAbsent, durable.FreshIfUnreadable} {
		a := durable.NewMemoryAdapter(nil)
		d := testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
		d.Work()
		require.NoError(t, d.Close())
		before, err := a.LoadState(t.Context(), "~set")
		require.NoError(t, err)
		o := testkit.Consistent(testkit.Quiet())
		o.Components = map[string]durable.ComponentOptions{"right": {Restore: policy}}
		cp, left := durable.New(a, o), &testkit.Summed{}
		require.NoError(t, cp.Register("left", left))
		require.NoError(t, cp.Register("right", &stubborn{}))
		report, err := cp.Restore(t.Context())
		r, _ := report.Component("right")
		require.Equal(t, durable.Rejected, r.Outcome)
		require.Equal(t, 1, left.Value())
		if policy == durable.FreshIfAbsent {
			require.Error(t, err)
			require.ErrorIs(t, cp.Checkpoint(t.Context()), durable.ErrNotRestored)
			_ = cp.Close()
			after, err := a.LoadState(t.Context(), "~set")
			require.NoError(t, err)
			require.True(t, bytes.Equal(before.Data, after.Data))
			continue
		}
		require.NoError(t, err)
		require.NoError(t, cp.Close())
		found := false
		for id, err := range a.ListComponents(t.Context()) {
			require.NoError(t, err)
			if strings.HasPrefix(id, "~aside/") && strings.HasSuffix(id, "/right") {
				s, err := a.LoadState(t.Context(), id)
				require.NoError(t, err)
				require.Equal(t, `{"N":1}`, string(s.Data))
				found = true
			}
		}
		require.True(t, found)
	}
}

func TestALargeSetIsStagedAndATooLargeOneIsRefusedNamingTheLargest(t *testing.T) {
	testkit.OnEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		type page struct{ Text string }
		var parts []*durable.StatefulComponent[page]
		build := func(a durable.StateAdapter) *durable.Checkpointer {
			cp := durable.New(a, testkit.Consistent(testkit.Quiet()))
			parts = nil
			for i := range 4 {
				p := durable.NewStatefulComponent(page{})
				parts = append(parts, p)
				require.NoError(t, cp.Register(fmt.Sprintf("page-%d", i), p))
			}
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			return cp
		}
		cp := build(open())
		text := strings.Repeat("0123456789", 50_000)
		for _, p := range parts {
			p.Update(func(s *page) { s.Text = text })
		}
		require.NoError(t, cp.Close())
		cp = build(open())
		for _, p := range parts {
			p.View(func(s *page) { require.Equal(t, text, s.Text) })
		}
		require.NoError(t, cp.Close())
	})
	a, err := durable.NewFileAdapter(t.TempDir(), &durable.FileOptions{MaxStateBytes: 1000})
	require.NoError(t, err)
	defer a.Close()
	o := testkit.Consistent(testkit.Quiet())
	o.CloseTimeout = 100 * time.Millisecond
	cp := durable.New(a, o)
	small, large := durable.NewStatefulComponent(strings.Repeat("s", 400)), durable.NewStatefulComponent(strings.Repeat("l", 500))
	require.NoError(t, cp.Register("small", small))
	require.NoError(t, cp.Register("large", large))
	_, err = cp.Restore(t.Context())
	require.NoError(t, err)
	err = cp.Checkpoint(t.Context())
	require.ErrorIs(t, err, durable.ErrTooLarge)
	require.ErrorContains(t, err, `"large"`)
	_ = cp.Close()
}

func TestStartRefusesASetWhoseRestoreFailedAfterItsComponents(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		d := testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
		d.Work()
		require.NoError(t, d.Close())
		s, err := a.LoadState(t.Context(), "~set")
		require.NoError(t, err)
		s.Version, s.WriteID, s.Data = 0, "", append(s.Data, "damage"...)
		require.NoError(t, a.MemoryAdapter.SaveState(t.Context(), "~set", s))
		d = testkit.PrepareDuo(t, a, testkit.Consistent(testkit.Quiet()))
		a.Down("save") // so that the damaged set cannot be set aside
		_, err = d.Restore(t.Context())
		require.ErrorContains(t, err, "set aside")
		require.ErrorIs(t, d.Start(), durable.ErrNotRestored)
		require.ErrorIs(t, d.Health(), durable.ErrNotRestored)
		_ = d.Close()
	})
}

func TestAComponentThatWasRemovedFromTheSetDoesNotComeBackWithAnOlderStateOfItsOwn(t *testing.T) {
	testkit.OnEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		for _, back := range []*durable.Options{testkit.Quiet(), testkit.Consistent(testkit.Quiet())} { // it comes back in either mode
			d := testkit.StartDuo(t, open(), testkit.Consistent(testkit.Quiet()))
			d.Work() // as one
			require.NoError(t, d.Close())
			d = testkit.StartDuo(t, open(), testkit.Quiet())
			for range 9 {
				d.Work() // by themselves, with many more versions
				require.NoError(t, d.Checkpoint(t.Context()))
			}
			require.NoError(t, d.Close())

			deleteFromSet(t, open(), "right")
			for n := range 2 { // the second start carries what the first one wrote
				cp, left := durable.New(open(), testkit.Consistent(testkit.Quiet())), &testkit.Summed{}
				require.NoError(t, cp.Register("left", left))
				_, err := cp.Restore(t.Context())
				require.NoError(t, err)
				require.NoError(t, left.Commit(t.Context(), func(s *testkit.Sum) { s.N = 7 + n }))
				require.NoError(t, cp.Close())
			}

			d = testkit.StartDuo(t, open(), back)
			require.Equal(t, [2]int{8, 0}, [2]int{d.Left.Value(), d.Right.Value()})
			r, _ := d.Report.Component("right")
			require.Equal(t, durable.FirstBoot, r.Outcome)
			require.Empty(t, d.Report.Unregistered)
			d.Work()
			require.NoError(t, d.Close())
			d = testkit.StartDuo(t, open(), testkit.Consistent(testkit.Quiet()))
			require.Equal(t, [2]int{9, 1}, [2]int{d.Left.Value(), d.Right.Value()}, "what it does after that is kept")
			require.NoError(t, d.Close())
		}
	})
}
