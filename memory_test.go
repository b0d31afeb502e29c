package durable_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/adaptertest"
)

func ExampleNewMemoryAdapter() {
	a := durable.NewMemoryAdapter(nil)
	defer a.Close()
	_ = a.SaveState(context.Background(), "greeter", &durable.Snapshot{Codec: "json", Data: []byte(`{"hello":1}`)})
	s, _ := a.LoadState(context.Background(), "greeter")
	fmt.Println(string(s.Data))
	// Output: {"hello":1}
}

func TestMemoryExpiresAfterItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(&durable.MemoryOptions{TTL: time.Minute})
		s := snapshot(1, 1, "one")
		require.NoError(t, a.SaveState(t.Context(), "c", s))
		time.Sleep(time.Minute - 1)
		_, err := a.LoadState(t.Context(), "c")
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		_, err = a.LoadState(t.Context(), "c")
		require.ErrorIs(t, err, durable.ErrExpired)
		requireFence(t, err, 1, 1)
		_, err = a.LoadSnapshot(t.Context(), "c", 1)
		require.ErrorIs(t, err, durable.ErrNotFound)
	})
}

func TestMemoryRepeatRefreshesTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(&durable.MemoryOptions{TTL: time.Minute})
		s := snapshot(1, 1, "one")
		require.NoError(t, a.SaveState(t.Context(), "c", s))
		for range 5 {
			time.Sleep(40 * time.Second)
			refresh := *s
			refresh.Data = nil
			require.NoError(t, a.SaveState(t.Context(), "c", &refresh))
		}
		got, err := a.LoadState(t.Context(), "c")
		require.NoError(t, err)
		require.Equal(t, "one", string(got.Data))
		time.Sleep(time.Minute)
		_, err = a.LoadState(t.Context(), "c")
		require.ErrorIs(t, err, durable.ErrExpired, "a refresh must not make a state immortal")
	})
}

func TestMemoryKeepsStateForEverWithoutATTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		require.NoError(t, a.SaveState(t.Context(), "c", snapshot(1, 1, "one")))
		time.Sleep(10 * 365 * 24 * time.Hour)
		_, err := a.LoadState(t.Context(), "c")
		require.NoError(t, err)
	})
}

func TestMemoryExpiredGenerationsDoNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(&durable.MemoryOptions{TTL: time.Minute})
		require.NoError(t, a.SaveState(t.Context(), "c", snapshot(1, 1, "one")))
		time.Sleep(time.Hour)
		require.NoError(t, a.SaveState(t.Context(), "c", snapshot(1, 2, "two")))
		a.Memory().Corrupt("c")
		_, err := a.LoadState(t.Context(), "c")
		require.ErrorIs(t, err, durable.ErrCorrupt)
	})
}

func TestMemoryNewestGenerationRemovedIsLostAndOlderOnesStayReachable(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	require.NoError(t, a.SaveState(t.Context(), "c", snapshot(1, 1, "one")))
	require.NoError(t, a.SaveState(t.Context(), "c", snapshot(1, 2, "two")))
	a.Memory().Edit("c", func([]byte) []byte { return nil })

	_, err := a.LoadState(t.Context(), "c")
	require.ErrorIs(t, err, durable.ErrLost)
	requireFence(t, err, 1, 2)
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
	require.NoError(t, a.SaveState(t.Context(), "c", snapshot(1, 1, "one")))
	require.NoError(t, a.SaveState(t.Context(), "c", snapshot(1, 2, "two")))
	a.Memory().Edit("c", fromTheFuture)
	_, err := a.LoadState(t.Context(), "c")
	require.ErrorIs(t, err, durable.ErrTooNew)
	requireFence(t, err, 1, 2)
}

func TestMemoryRepeatOfADamagedSaveHealsItAndKeepsTheBadBytes(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	s := snapshot(1, 1, "one")
	require.NoError(t, a.SaveState(t.Context(), "c", s))
	a.Memory().Corrupt("c")
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

func TestMemoryKeepsABoundedNumberOfBadGenerationsBesideTheGoodOnes(t *testing.T) {
	a := durable.NewMemoryAdapter(&durable.MemoryOptions{Keep: 2})
	for v := uint64(1); v <= 2; v++ {
		require.NoError(t, a.SaveState(t.Context(), "c", snapshot(1, v, "good")))
	}
	for v := uint64(3); v <= 40; v++ {
		require.NoError(t, a.SaveState(t.Context(), "c", snapshot(1, v, "bad")))
		a.Memory().Corrupt("c")
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
	require.Positive(t, bad)
	require.LessOrEqual(t, bad, 9)
}

func TestMemoryLastEpochCannotBeDeletedIntoTheFirst(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	last := ^uint64(0)
	require.NoError(t, a.ClaimState(t.Context(), "c", last))
	require.ErrorIs(t, a.DeleteState(t.Context(), "c"), durable.ErrConflict)
	require.ErrorIs(t, a.ClaimState(t.Context(), "c", 1), durable.ErrFenced)
}

func TestConformance_memory(t *testing.T) {
	memory := func(a durable.StateAdapter) *durable.MemoryAdapter { return a.(*durable.MemoryAdapter) }
	adaptertest.Run(t, adaptertest.Store{
		Open:    func(*testing.T) durable.StateAdapter { return durable.NewMemoryAdapter(nil) },
		Reopen:  func(_ *testing.T, a durable.StateAdapter) durable.StateAdapter { return memory(a).Reopen() },
		Expire:  func(_ *testing.T, a durable.StateAdapter, id string) { memory(a).Memory().Expire(id) },
		Wipe:    func(_ *testing.T, a durable.StateAdapter, id string) { memory(a).Memory().Wipe(id) },
		Corrupt: func(_ *testing.T, a durable.StateAdapter, id string) { memory(a).Memory().Corrupt(id) },
	})
}
