package durable_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
)

func TestRedisSmoke(t *testing.T) {
	s := redistest.Shared(t)
	ctx := context.Background()
	a, err := durable.OpenRedisAdapter(ctx, s.URL(), nil)
	require.NoError(t, err)
	defer a.Close()
	_, err = a.LoadState(ctx, "x")
	require.ErrorIs(t, err, durable.ErrNotFound)
	for i := range 5 {
		require.NoError(t, a.SaveState(ctx, "x", &durable.Snapshot{Epoch: 1, Version: uint64(i + 1), WriteID: "a", Data: []byte(`{"a":1}`)}))
	}
	got, err := a.LoadState(ctx, "x")
	require.NoError(t, err)
	require.EqualValues(t, 5, got.Version)
	l, err := a.ListSnapshots(ctx, "x")
	require.NoError(t, err)
	require.Len(t, l, 3)
	le, err := a.AcquireLease(ctx, "", "me", 1e9)
	require.NoError(t, err)
	require.NoError(t, a.RenewLease(ctx, le))
	require.NoError(t, a.DeleteState(ctx, "x"))
	for id, err := range a.ListComponents(ctx) {
		t.Fatal(id, err)
	}
}
