package testkit

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/memstore"
)

// Memory returns the store behind a memory adapter that is open, or a Flaky one,
// through which a test does to it what happens to a server or a disk.
func Memory(t testing.TB, a durable.StateAdapter) *memstore.Store {
	t.Helper()
	if f, ok := a.(*Flaky); ok {
		a = f.MemoryAdapter
	}
	ctx, s := memstore.Reach(context.Background())
	_, err := a.LoadState(ctx, "none")
	require.ErrorIs(t, err, durable.ErrNotFound)
	require.NotNil(t, *s, "%T is no memory adapter", a)
	return *s
}

// Reopen returns a second adapter on the memory of a, as another process would
// open it. Neither is closed with the other.
func Reopen(t testing.TB, a durable.StateAdapter) *durable.MemoryAdapter {
	t.Helper()
	b := durable.NewMemoryAdapter(nil)
	Memory(t, b).Share(Memory(t, a))
	return b
}
