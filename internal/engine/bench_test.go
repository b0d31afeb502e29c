package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// free is an adapter that costs nothing: what is measured with it is the
// Checkpointer. It has the owner and the custody of the MemoryAdapter.
type free struct {
	*durable.MemoryAdapter
	stored *durable.Snapshot // what every load answers
}

func (free) SaveState(context.Context, string, *durable.Snapshot) error { return nil }

func (free) ClaimState(context.Context, string, uint64) error { return nil }

func (f free) LoadState(_ context.Context, id string) (*durable.Snapshot, error) {
	if f.stored == nil || strings.Contains(id, "~") {
		return nil, durable.ErrNotFound
	}
	s := *f.stored
	return &s, nil
}

// numbers returns a Checkpointer on a with n components, not yet restored.
func numbers(b *testing.B, a durable.StateAdapter, n int) (*durable.Checkpointer, []durable.StatefulComponent[testkit.Number]) {
	b.Helper()
	cp := durable.New(a, &durable.Options{System: "bench", Interval: time.Hour, CloseTimeout: time.Second, Logger: slog.New(slog.DiscardHandler)})
	comps := make([]durable.StatefulComponent[testkit.Number], n)
	for i := range comps {
		require.NoError(b, cp.Register(fmt.Sprint("component-", i), &comps[i]))
	}
	return cp, comps
}

// saved returns numbers, restored and saved once.
func saved(b *testing.B, n int) (*durable.Checkpointer, []durable.StatefulComponent[testkit.Number]) {
	b.Helper()
	cp, comps := numbers(b, free{MemoryAdapter: durable.NewMemoryAdapter(nil)}, n)
	_, err := cp.Restore(context.Background())
	require.NoError(b, err)
	require.NoError(b, cp.Checkpoint(context.Background()))
	return cp, comps
}

// BenchmarkCycle is a checkpoint of many components, all of which changed.
func BenchmarkCycle(b *testing.B) {
	const n = 100_000
	cp, comps := saved(b, n)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range comps {
			comps[i].Update(func(s *testkit.Number) { s.N++ })
		}
		b.StartTimer()
		require.NoError(b, cp.Checkpoint(context.Background()))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/component")
}

// BenchmarkRestoreOfMany is a restore of many components.
func BenchmarkRestoreOfMany(b *testing.B) {
	const n = 10_000
	a := free{durable.NewMemoryAdapter(nil), &durable.Snapshot{Epoch: 1, Version: 7, WriteID: "x", Codec: "binary", SavedAt: time.Now(), Data: []byte{1}}}
	cp, _ := numbers(b, a, n)
	b.ReportAllocs()
	for b.Loop() {
		_, err := cp.Restore(context.Background())
		require.NoError(b, err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/component")
}

// BenchmarkCommit is one caller who saves after every change.
func BenchmarkCommit(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, comps := saved(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, comps[0].Commit(ctx, func(s *testkit.Number) { s.N++ }))
	}
}
