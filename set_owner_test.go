package durable_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

func TestASetThatIsFencedIsRestoredAgain(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		old := startDuo(t, open(), named("same", consistent(quiet())))
		old.work()
		require.NoError(t, old.Checkpoint(t.Context()))
		next := startDuo(t, open(), named("same", consistent(quiet())))
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

func TestAPredecessorOfTheOtherModeIsFencedToo(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		for _, set := range []bool{true, false} { // also when it has never saved
			o, p := named("same", quiet()), named("same", quiet())
			o.Consistent, p.Consistent = set, !set
			old := startDuo(t, open(), o)
			next := startDuo(t, open(), p)
			old.work()
			for _, c := range []*summed{old.left, old.right} {
				require.ErrorIs(t, c.CheckpointState(t.Context()), durable.ErrFenced)
			}
			require.NoError(t, next.Close())
			_ = old.Close()
		}
	})
}

func TestASuccessorWaitsForASetThatIsHandedOver(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		old := startDuo(t, open(), named("old", consistent(quiet())))
		next := prepareDuo(t, open(), named("next", consistent(quiet())))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		restored := make(chan error)
		go func() {
			var err error
			next.report, err = next.Restore(ctx)
			restored <- err
		}()
		require.Eventually(t, func() bool { return next.Health() != nil }, 5*time.Second, time.Millisecond)
		old.work()
		require.NoError(t, old.Close())
		require.NoError(t, <-restored)
		next.requireBoth(t, 1, durable.Restored)
		require.NoError(t, next.Close())
	})
}

func TestASetIsRolledBackLikeAnyState(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		d := startDuo(t, open(), consistent(quiet()))
		for range 3 {
			d.work()
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
		d = startDuo(t, open(), consistent(quiet()))
		d.requireBoth(t, 2, durable.Restored)
		require.NoError(t, d.Close())
	})
}
