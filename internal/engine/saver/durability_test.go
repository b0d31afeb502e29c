package saver_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

type unconfirmed struct {
	*durable.MemoryAdapter
	short atomic.Bool
}

func (u *unconfirmed) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if err := u.MemoryAdapter.SaveState(ctx, id, s); err != nil || !u.short.Load() {
		return err
	}
	return durable.ErrNotDurable
}

func TestASaveBelowItsDurabilityIsConfirmedLaterAndNotRepeated(t *testing.T) {
	for name, c := range map[string]durable.Component{"tracked": &testkit.WordCounter{}, "custom": &testkit.Custom{Data: []byte("x")}} {
		testkit.Bubble(t, func(t *testing.T) {
			ctx := t.Context()
			a := &unconfirmed{MemoryAdapter: durable.NewMemoryAdapter(nil)}
			cp := durable.New(a, testkit.Quiet())
			require.NoError(t, cp.Register("c", c))
			_, err := cp.Restore(ctx)
			require.NoError(t, err)
			a.short.Store(true)
			for range 10 {
				require.ErrorIs(t, cp.Checkpoint(ctx), durable.ErrNotDurable, name)
			}
			s, err := a.LoadState(ctx, "c")
			require.NoError(t, err)
			require.EqualValues(t, 1, s.Version, "%s: the history is not filled with copies", name)
			require.True(t, cp.Status()[0].Changed)
			a.short.Store(false)
			require.NoError(t, cp.Checkpoint(ctx))
			require.False(t, cp.Status()[0].Changed)
			require.EqualValues(t, 1, cp.Status()[0].Version)
			require.NoError(t, cp.Close())
		})
	}
}

func TestCloseTellsOfASaveBelowItsDurability(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := &unconfirmed{MemoryAdapter: durable.NewMemoryAdapter(nil)}
		h := testkit.Start(t, a, nil)
		h.Words.Add("x")
		a.short.Store(true)
		require.ErrorIs(t, testkit.CloseWithin(t, h, 20*time.Second), durable.ErrNotDurable)
	})
}
