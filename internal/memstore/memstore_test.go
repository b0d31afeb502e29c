package memstore_test

import (
	"context"
	"github.com/durablestate/durable/internal/memstore"
	"github.com/durablestate/durable/internal/store"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestMemoryExpiredGenerationsDoNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(&durable.MemoryOptions{TTL: time.Minute})
		require.NoError(t, a.SaveState(t.Context(), "c", testkit.Snapshot(1, 1, "one")))
		time.Sleep(time.Hour)
		require.NoError(t, a.SaveState(t.Context(), "c", testkit.Snapshot(1, 2, "two")))
		testkit.Memory(t, a).Corrupt("c")
		_, err := a.LoadState(t.Context(), "c")
		require.ErrorIs(t, err, durable.ErrCorrupt)
	})
}

func TestMemoryNewestGenerationRemovedIsLostAndOlderOnesStayReachable(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	require.NoError(t, a.SaveState(t.Context(), "c", testkit.Snapshot(1, 1, "one")))
	require.NoError(t, a.SaveState(t.Context(), "c", testkit.Snapshot(1, 2, "two")))
	testkit.Memory(t, a).Edit("c", func([]byte) []byte { return nil })

	_, err := a.LoadState(t.Context(), "c")
	require.ErrorIs(t, err, durable.ErrLost)
	testkit.RequireFence(t, err, 1, 2)
	infos, err := a.ListSnapshots(t.Context(), "c")
	require.NoError(t, err)
	require.Len(t, infos, 1)
	old, err := a.LoadSnapshot(t.Context(), "c", 1)
	require.NoError(t, err)
	require.Equal(t, "one", string(old.Data))
	require.EqualValues(t, 2, old.LastVersion)
}

func TestMemoryStateFromTheFutureIsTooNewWithoutFallback(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	require.NoError(t, a.SaveState(t.Context(), "c", testkit.Snapshot(1, 1, "one")))
	require.NoError(t, a.SaveState(t.Context(), "c", testkit.Snapshot(1, 2, "two")))
	testkit.Memory(t, a).Edit("c", testkit.FromTheFuture)
	_, err := a.LoadState(t.Context(), "c")
	require.ErrorIs(t, err, durable.ErrTooNew)
	testkit.RequireFence(t, err, 1, 2)
}

func TestMemoryRepeatOfADamagedSaveHealsItAndKeepsTheBadBytes(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	s := testkit.Snapshot(1, 1, "one")
	require.NoError(t, a.SaveState(t.Context(), "c", s))
	testkit.Memory(t, a).Corrupt("c")
	refresh := *s
	refresh.Data = nil
	require.ErrorIs(t, a.SaveState(t.Context(), "c", &refresh), durable.ErrLost)
	require.NoError(t, a.SaveState(t.Context(), "c", s))

	got, err := a.LoadSnapshot(t.Context(), "c", 1)
	require.NoError(t, err)
	require.Equal(t, "one", string(got.Data))
	infos, err := a.ListSnapshots(t.Context(), "c")
	require.NoError(t, err)
	require.Len(t, infos, 2)
	require.NoError(t, infos[0].Err)
	require.ErrorIs(t, infos[1].Err, durable.ErrCorrupt)
}

func TestMemoryKeepsBadGenerationsBesideTheGoodOnes(t *testing.T) {
	a := durable.NewMemoryAdapter(&durable.MemoryOptions{Keep: 2})
	for v := uint64(1); v <= 2; v++ {
		require.NoError(t, a.SaveState(t.Context(), "c", testkit.Snapshot(1, v, "good")))
	}
	for v := uint64(3); v <= 40; v++ {
		require.NoError(t, a.SaveState(t.Context(), "c", testkit.Snapshot(1, v, "bad")))
		testkit.Memory(t, a).Corrupt("c")
	}
	infos, err := a.ListSnapshots(t.Context(), "c")
	require.NoError(t, err)
	var good, bad int
	for _, i := range infos {
		if i.Err == nil {
			good++
		} else {
			bad++
		}
	}
	require.Equal(t, 1, good, "Keep counts the save under way, which was good then")
	require.Equal(t, 38, bad)
}

func TestMemoryLastEpochCannotBeDeletedIntoTheFirst(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	last := ^uint64(0)
	require.NoError(t, a.ClaimState(t.Context(), "c", last))
	require.ErrorIs(t, a.DeleteState(t.Context(), "c"), durable.ErrConflict)
	require.ErrorIs(t, a.ClaimState(t.Context(), "c", 1), durable.ErrFenced)
}

func TestAToolCostsNoGeneration(t *testing.T) {
	ctx := context.Background()
	s := memstore.New(2, 0)
	for v := range uint64(6) {
		c := ctx
		if v >= 3 {
			c = store.Preserve(ctx)
		}
		require.NoError(t, s.Save(c, "c", &store.Snapshot{Epoch: 1, Version: v + 1, WriteID: "w", Data: []byte("x")}))
	}
	infos, err := s.History(ctx, "c")
	require.NoError(t, err)
	require.Len(t, infos, 5)
}
