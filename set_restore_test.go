package durable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

func TestMembersThatAreAddedStartByPolicyAndRemovedOnesAreKeptUntilToldOtherwise(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		d := startDuo(t, open(), consistent(quiet()))
		d.work()
		require.NoError(t, d.Close())

		only := func(o *durable.Options) (*durable.Checkpointer, *summed, durable.Report) {
			cp, left := durable.New(open(), consistent(o)), &summed{}
			require.NoError(t, cp.Register("left", left))
			report, err := cp.Restore(t.Context())
			require.NoError(t, err)
			return cp, left, report
		}
		j := &journal{}
		cp, left, report := only(j.options())
		require.Equal(t, []string{"right"}, report.Unregistered)
		require.Contains(t, j.text(), "not registered")
		require.NoError(t, left.Commit(t.Context(), func(s *sum) { s.N = 5 }))
		require.NoError(t, cp.Close())

		d = startDuo(t, open(), consistent(quiet()))
		require.Equal(t, [2]int{5, 1}, [2]int{d.left.n(), d.right.n()}, "the state of the removed one was carried along")
		require.Empty(t, d.report.Unregistered)
		require.NoError(t, d.Close())

		deleteFromSet(t, open(), "right")
		cp, _, report = only(quiet())
		require.Empty(t, report.Unregistered)
		require.NoError(t, cp.Checkpoint(t.Context()))
		require.NoError(t, cp.Close())

		o := consistent(quiet())
		o.Components = map[string]durable.ComponentOptions{"right": {Restore: durable.RestoreRequired}}
		d = prepareDuo(t, open(), o)
		_, err := d.Restore(t.Context())
		require.ErrorContains(t, err, `"right"`)
		require.ErrorIs(t, d.left.CheckpointState(t.Context()), durable.ErrNotRestored, "a set is restored as one")
		_ = d.Close() // it lists what it did not restore

		d = startDuo(t, open(), consistent(quiet()))
		require.Equal(t, [2]int{5, 0}, [2]int{d.left.n(), d.right.n()})
		r, _ := d.report.Component("right")
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
	d := startDuo(t, a, consistent(quiet()))
	d.work() // right is 1 in the set
	require.NoError(t, d.Close())
	d = startDuo(t, a, quiet())
	d.work() // and 2 by itself
	require.NoError(t, d.Close())
	cp := durable.New(a, consistent(quiet()))
	require.NoError(t, cp.Register("left", &summed{})) // carries the old right along
	_, err := cp.Restore(t.Context())
	require.NoError(t, err)
	require.NoError(t, cp.Close())
	for _, o := range []*durable.Options{quiet(), consistent(quiet())} {
		d = startDuo(t, a, o)
		d.requireBoth(t, 2, durable.Restored)
		require.NoError(t, d.Close())
	}
}

func TestDeletedStateStaysDeletedInEitherMode(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	d := startDuo(t, a, quiet())
	d.work()
	require.NoError(t, d.Close())
	d = startDuo(t, a, consistent(quiet()))
	d.work()
	require.NoError(t, d.Close())
	require.NoError(t, a.DeleteState(t.Context(), "~set"))
	d = startDuo(t, a, consistent(quiet()))
	d.requireBoth(t, 0, durable.FirstBoot) // and not what they were before they became a set
	d.work()
	require.NoError(t, d.Close())
	d = startDuo(t, a, quiet())
	d.work()
	d.requireBoth(t, 2, durable.Restored)
	require.NoError(t, d.Close())
	require.NoError(t, a.DeleteState(t.Context(), "left"))
	d = startDuo(t, a, consistent(quiet()))
	require.Equal(t, [2]int{0, 2}, [2]int{d.left.n(), d.right.n()}, "right is not touched by it")
	require.NoError(t, d.Close())
}

func TestAnUnreadableSetIsNotPassedOverForOlderSingleStates(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	d := startDuo(t, a, quiet())
	d.work()
	require.NoError(t, d.Close())
	d = startDuo(t, a, consistent(quiet()))
	d.work()
	require.NoError(t, d.Close())
	a.Memory().Wipe("~set")
	for _, o := range []*durable.Options{quiet(), consistent(quiet())} {
		d = prepareDuo(t, a, o)
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
		return errDown
	}
	return r.StateAdapter.SaveState(ctx, id, s)
}

func TestASetSpillsAndIsTakenFromThereInEitherMode(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		for life, set := range []bool{true, false} {
			var down atomic.Bool
			o, next := consistent(quiet()), quiet()
			o.CloseTimeout, next.Consistent = time.Second, set
			o.Spill = durable.NewMemoryAdapter(nil)
			next.Spill = o.Spill
			d := startDuo(t, refusing{open(), &down}, named("same", o))
			d.work()
			require.NoError(t, d.Checkpoint(t.Context()))
			d.work()
			down.Store(true)
			require.ErrorIs(t, d.Close(), errDown)
			d = startDuo(t, open(), named("same", next))
			d.requireBoth(t, 2*life+2, durable.Restored)
			require.NoError(t, d.Close())
		}
	})
}

func TestASetFallsBackToTheSetBefore(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	d := startDuo(t, a, consistent(quiet()))
	for range 3 {
		d.work()
		require.NoError(t, d.Checkpoint(t.Context()))
	}
	require.NoError(t, d.Close())
	a.Memory().Corrupt("~set")
	d = startDuo(t, a, consistent(quiet()))
	d.requireBoth(t, 2, durable.FellBack)
	require.Equal(t, []uint64{3}, d.report.Results[0].Skipped)
	d.work()
	require.NoError(t, d.Close())
}

type stubborn struct{ summed }

func (p *stubborn) StateSchema() int { return 1 }
func (p *stubborn) MigrateState(int, []byte) ([]byte, error) {
	return nil, errors.New("cannot")
}

func TestAPartThatIsRejectedIsSetAsideOrStopsTheSet(t *testing.T) {
	for _, policy := range []durable.RestorePolicy{durable.FreshIfAbsent, durable.FreshIfUnreadable} {
		a := durable.NewMemoryAdapter(nil)
		d := startDuo(t, a, consistent(quiet()))
		d.work()
		require.NoError(t, d.Close())
		before, err := a.LoadState(t.Context(), "~set")
		require.NoError(t, err)
		o := consistent(quiet())
		o.Components = map[string]durable.ComponentOptions{"right": {Restore: policy}}
		cp, left := durable.New(a, o), &summed{}
		require.NoError(t, cp.Register("left", left))
		require.NoError(t, cp.Register("right", &stubborn{}))
		report, err := cp.Restore(t.Context())
		r, _ := report.Component("right")
		require.Equal(t, durable.Rejected, r.Outcome)
		require.Equal(t, 1, left.n())
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
	onEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		type page struct{ Text string }
		var parts []*durable.StatefulComponent[page]
		build := func(a durable.StateAdapter) *durable.Checkpointer {
			cp := durable.New(a, consistent(quiet()))
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
	o := consistent(quiet())
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
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		d := startDuo(t, a, consistent(quiet()))
		d.work()
		require.NoError(t, d.Close())
		s, err := a.LoadState(t.Context(), "~set")
		require.NoError(t, err)
		s.Version, s.WriteID, s.Data = 0, "", append(s.Data, "damage"...)
		require.NoError(t, a.MemoryAdapter.SaveState(t.Context(), "~set", s))
		d = prepareDuo(t, a, consistent(quiet()))
		a.down("save") // so that the damaged set cannot be set aside
		_, err = d.Restore(t.Context())
		require.ErrorContains(t, err, "set aside")
		require.ErrorIs(t, d.Start(), durable.ErrNotRestored)
		require.ErrorIs(t, d.Health(), durable.ErrNotRestored)
		_ = d.Close()
	})
}

func TestAComponentThatWasRemovedFromTheSetDoesNotComeBackWithAnOlderStateOfItsOwn(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		for _, back := range []*durable.Options{quiet(), consistent(quiet())} { // it comes back in either mode
			d := startDuo(t, open(), consistent(quiet()))
			d.work() // as one
			require.NoError(t, d.Close())
			d = startDuo(t, open(), quiet())
			for range 9 {
				d.work() // by themselves, with many more versions
				require.NoError(t, d.Checkpoint(t.Context()))
			}
			require.NoError(t, d.Close())

			deleteFromSet(t, open(), "right")
			for n := range 2 { // the second start carries what the first one wrote
				cp, left := durable.New(open(), consistent(quiet())), &summed{}
				require.NoError(t, cp.Register("left", left))
				_, err := cp.Restore(t.Context())
				require.NoError(t, err)
				require.NoError(t, left.Commit(t.Context(), func(s *sum) { s.N = 7 + n }))
				require.NoError(t, cp.Close())
			}

			d = startDuo(t, open(), back)
			require.Equal(t, [2]int{8, 0}, [2]int{d.left.n(), d.right.n()})
			r, _ := d.report.Component("right")
			require.Equal(t, durable.FirstBoot, r.Outcome)
			require.Empty(t, d.report.Unregistered)
			d.work()
			require.NoError(t, d.Close())
			d = startDuo(t, open(), consistent(quiet()))
			require.Equal(t, [2]int{9, 1}, [2]int{d.left.n(), d.right.n()}, "what it does after that is kept")
			require.NoError(t, d.Close())
		}
	})
}
