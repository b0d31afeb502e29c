package durable_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// The last number of a kind has no successor, and no waiting makes one: whoever asks
// for it is told at once, through every door.

type counter = durable.StatefulComponent[struct{ N int }]

func TestTheLastEpochIsNotWaitedFor(t *testing.T) {
	testkit.OnEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		a := open()
		require.NoError(t, a.SaveState(t.Context(), "c", &durable.Snapshot{Epoch: math.MaxUint64, Codec: "json", Data: []byte(`{"N":1}`)}))
		_, err := a.(durable.Owner).AcquireLease(t.Context(), "l", "h", time.Minute)
		require.ErrorIs(t, err, durable.ErrPermanent)
		cp := durable.New(a, testkit.Quiet())
		require.NoError(t, cp.Register("c", &counter{}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = cp.Restore(ctx)
		require.ErrorIs(t, err, durable.ErrPermanent)
		require.NoError(t, ctx.Err(), "it waited")
		require.NoError(t, cp.Close())
	})
}

func TestTheLastVersionDoesNotHoldCloseUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		require.NoError(t, a.SaveState(t.Context(), "c", &durable.Snapshot{Epoch: 1, Version: math.MaxUint64, Codec: "json", Data: []byte(`{"N":1}`)}))
		cp, c := durable.New(a, testkit.Quiet()), &counter{}
		require.NoError(t, cp.Register("c", c))
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		begin := time.Now()
		require.ErrorIs(t, c.Commit(t.Context(), func(s *struct{ N int }) { s.N++ }), durable.ErrPermanent)
		require.ErrorIs(t, cp.Close(), durable.ErrPermanent)
		require.Less(t, time.Since(begin), 2*time.Second)
	})
}

// steps counts the migrations it is asked for.
type steps struct {
	durable.StatefulComponent[struct{ N int }]
	taken int
}

func (*steps) StateSchema() int { return 1 }
func (s *steps) MigrateState(_ int, data []byte) ([]byte, error) {
	s.taken++
	return data, nil
}

// lying is an adapter of somebody else, whose numbers nobody has checked.
type lying struct {
	durable.StateAdapter
	schema int
}

func (l lying) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	if id != "c" {
		return l.StateAdapter.LoadState(ctx, id)
	}
	return &durable.Snapshot{Version: 1, Schema: l.schema, Codec: "json", Data: []byte(`{"N":1}`)}, nil
}

func TestASchemaBelowZeroIsNotMigratedFrom(t *testing.T) {
	for _, schema := range []int{-1, math.MinInt} {
		cp, c := durable.New(lying{durable.NewMemoryAdapter(nil), schema}, testkit.Quiet()), &steps{}
		require.NoError(t, cp.Register("c", c))
		_, err := cp.Restore(t.Context())
		require.ErrorIs(t, err, durable.ErrCorrupt)
		require.Zero(t, c.taken)
		require.NoError(t, cp.Close())
	}
}
