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
	"github.com/durablestate/durable/internal/testkit"
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
		s := testkit.Snapshot(1, 1, "one")
		require.NoError(t, a.SaveState(t.Context(), "c", s))
		time.Sleep(time.Minute - 1)
		_, err := a.LoadState(t.Context(), "c")
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		_, err = a.LoadState(t.Context(), "c")
		require.ErrorIs(t, err, durable.ErrExpired)
		testkit.RequireFence(t, err, 1, 1)
		_, err = a.LoadSnapshot(t.Context(), "c", 1)
		require.ErrorIs(t, err, durable.ErrNotFound)
	})
}

func TestMemoryRepeatRefreshesTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(&durable.MemoryOptions{TTL: time.Minute})
		s := testkit.Snapshot(1, 1, "one")
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
		require.NoError(t, a.SaveState(t.Context(), "c", testkit.Snapshot(1, 1, "one")))
		time.Sleep(10 * 365 * 24 * time.Hour)
		_, err := a.LoadState(t.Context(), "c")
		require.NoError(t, err)
	})
}

func TestConformance_memory(t *testing.T) {
	memory := func(a durable.StateAdapter) *durable.MemoryAdapter { return a.(*durable.MemoryAdapter) }
	adaptertest.Run(t, adaptertest.Store{
		Open:    func(*testing.T) durable.StateAdapter { return durable.NewMemoryAdapter(nil) },
		Reopen:  func(_ *testing.T, a durable.StateAdapter) durable.StateAdapter { return testkit.Reopen(t, memory(a)) },
		Expire:  func(_ *testing.T, a durable.StateAdapter, id string) { testkit.Memory(t, memory(a)).Expire(id) },
		Wipe:    func(_ *testing.T, a durable.StateAdapter, id string) { testkit.Memory(t, memory(a)).Wipe(id) },
		Corrupt: func(_ *testing.T, a durable.StateAdapter, id string) { testkit.Memory(t, memory(a)).Corrupt(id) },
	})
}
