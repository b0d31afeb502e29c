package cut_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestASetThatIsFencedIsRestoredAgain(t *testing.T) {
	testkit.OnEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		old := testkit.StartDuo(t, open(), testkit.Named("same", testkit.Consistent(testkit.Quiet())))
		old.Work()
		require.NoError(t, old.Checkpoint(t.Context()))
		next := testkit.StartDuo(t, open(), testkit.Named("same", testkit.Consistent(testkit.Quiet())))
		old.Work()
		require.ErrorIs(t, old.Left.CheckpointState(t.Context()), durable.ErrFenced)
		require.ErrorIs(t, old.Health(), durable.ErrFenced)
		next.RequireBoth(t, 1, durable.Restored)
		require.NoError(t, next.Close())
		var err error
		old.Report, err = old.Restore(t.Context())
		require.NoError(t, err)
		old.RequireBoth(t, 1, durable.Restored)
		old.Work()
		require.NoError(t, old.Checkpoint(t.Context()))
		require.NoError(t, old.Close())
	})
}

func TestAPredecessorOfTheOtherModeIsFencedToo(t *testing.T) {
	testkit.OnEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		for _, set := range []bool{true, false} { // also when it has never saved
			o, p := testkit.Named("same", testkit.Quiet()), testkit.Named("same", testkit.Quiet())
			o.Consistent, p.Consistent = set, !set
			old := testkit.StartDuo(t, open(), o)
			next := testkit.StartDuo(t, open(), p)
			old.Work()
			for _, c := range []*testkit.Summed{old.Left, old.Right} {
				require.ErrorIs(t, c.CheckpointState(t.Context()), durable.ErrFenced)
			}
			require.NoError(t, next.Close())
			_ = old.Close()
		}
	})
}

func TestASuccessorWaitsForASetThatIsHandedOver(t *testing.T) {
	testkit.OnEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		old := testkit.StartDuo(t, open(), testkit.Named("old", testkit.Consistent(testkit.Quiet())))
		next := testkit.PrepareDuo(t, open(), testkit.Named("next", testkit.Consistent(testkit.Quiet())))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		restored := make(chan error)
		go func() {
			var err error
			next.Report, err = next.Restore(ctx)
			restored <- err
		}()
		require.Eventually(t, func() bool { return next.Health() != nil }, 5*time.Second, time.Millisecond)
		old.Work()
		require.NoError(t, old.Close())
		require.NoError(t, <-restored)
		next.RequireBoth(t, 1, durable.Restored)
		require.NoError(t, next.Close())
	})
}

func TestASetIsRolledBackLikeAnyState(t *testing.T) {
	testkit.OnEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		d := testkit.StartDuo(t, open(), testkit.Consistent(testkit.Quiet()))
		for range 3 {
			d.Work()
			require.NoError(t, d.Checkpoint(t.Context()))
		}
		require.NoError(t, d.Close())
		a := open().(interface {
			durable.StateAdapter
			durable.Owner
			durable.Historian
		})
		newest, err := a.LoadState(t.Context(), "~set")
		require.NoError(t, err)
		old, err := a.LoadSnapshot(t.Context(), "~set", newest.Version-1)
		require.NoError(t, err)
		require.NoError(t, a.ClaimState(t.Context(), "~set", newest.Epoch+1))
		require.NoError(t, a.SaveState(t.Context(), "~set", &durable.Snapshot{Epoch: newest.Epoch + 1, Codec: old.Codec, Data: old.Data}))
		d = testkit.StartDuo(t, open(), testkit.Consistent(testkit.Quiet()))
		d.RequireBoth(t, 2, durable.Restored)
		require.NoError(t, d.Close())
	})
}

// The order in which components are named says nothing about the set.
func TestASetThatIsRestoredByNamesInAnotherOrderTellsTheTruthAtClose(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		d := testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
		d.Work()
		require.NoError(t, d.Close())

		d = testkit.PrepareDuo(t, a, testkit.Consistent(testkit.Quiet()))
		for range 5 {
			d.Left.Add(1)
		}
		report, err := d.Restore(t.Context(), "right", "left")
		require.NoError(t, err)
		require.Equal(t, "left", report.Results[0].ComponentID, "in the order of registration")
		for _, s := range d.Status() {
			require.False(t, s.Changed, s.ComponentID)
		}
		a.Down("save")
		d.Right.Add(1)
		var unsaved *durable.CloseError
		require.ErrorAs(t, d.Close(), &unsaved)
		require.Len(t, unsaved.Unsaved, 1)
		require.Equal(t, "right", unsaved.Unsaved[0].ComponentID)
	})
}
