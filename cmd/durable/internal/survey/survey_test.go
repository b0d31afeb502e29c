package survey_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/internal/store"
)

var ctx = context.Background()

func TestNamesBelongToLeases(t *testing.T) {
	for id, lease := range map[string]string{
		"words": "", "app/words": "app", "app/r1/words": "app/r1", "~aside/1-2/app/words": "app", "~aside/1-2/words": "", "app/~set": "app",
	} {
		require.Equal(t, lease, survey.LeaseOf(id), id)
	}
	require.True(t, survey.Internal("app/~starts"))
	require.True(t, survey.Internal("~aside/1-2/x"))
	require.False(t, survey.Internal("app/~set"))
}

func TestNamespaceLimitsAndCompletesNames(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	for _, id := range []string{"app/b", "app/a", "application/a", "~aside/1-1/app/a", "~aside/1-1/other/a"} {
		require.NoError(t, a.SaveState(ctx, id, &durable.Snapshot{Data: []byte("x")}))
	}
	s, err := survey.New(a, "app/")
	require.NoError(t, err)
	ids, err := s.IDs(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"app/a", "app/b", "~aside/1-1/app/a"}, ids)
	require.Equal(t, "app/x", s.Name("x"))
	require.Equal(t, "app/x", s.Name("app/x"))
	require.Equal(t, "~aside/1-1/app/a", s.Name("~aside/1-1/app/a"))
}

func TestFenceIsReadWithoutChangingIt(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	s, err := survey.New(a, "")
	require.NoError(t, err)
	for range 2 {
		f, err := s.Fence(ctx, "never")
		require.NoError(t, err)
		require.Zero(t, f)
	}
	require.NoError(t, a.SaveState(ctx, "c", &durable.Snapshot{Epoch: 3, Version: 9, Data: []byte("x")}))
	require.NoError(t, a.ClaimState(ctx, "c", 5))
	f, err := s.Fence(ctx, "c")
	require.NoError(t, err)
	require.Equal(t, survey.Fence{Epoch: 5, Version: 9}, f)
}

func TestFewerAreReadAtATimeWhileStatesAreLarge(t *testing.T) {
	var entered, now, most atomic.Int64
	ids := make([]string, 64)
	seen := make([]atomic.Bool, len(ids))
	require.NoError(t, survey.Each(ctx, ids, func(_ context.Context, i int) (int64, error) {
		if entered.Add(1) > 4 { // so many are let in before the size is known
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
		}
		runtime.Gosched() // so that others come in, if they may
		seen[i].Store(true)
		return 40 << 20, nil
	}))
	for i := range seen {
		require.True(t, seen[i].Load())
	}
	require.LessOrEqual(t, most.Load(), int64(1))
}

func TestEachStopsAtTheFirstError(t *testing.T) {
	err := survey.Each(ctx, make([]string, 1000), func(_ context.Context, i int) (int64, error) {
		if i == 3 {
			return 0, fmt.Errorf("number %d", i)
		}
		return 0, nil
	})
	require.EqualError(t, err, "number 3")
}

func TestDeletedComponentsAreListedWhereTheyAreAskedFor(t *testing.T) {
	files, err := durable.NewFileAdapter(t.TempDir(), nil)
	require.NoError(t, err)
	defer files.Close()
	for _, a := range []durable.StateAdapter{durable.NewMemoryAdapter(nil), files} {
		s, err := survey.New(a, "")
		require.NoError(t, err)
		for _, id := range []string{"deleted", "kept"} {
			require.NoError(t, a.SaveState(ctx, id, &durable.Snapshot{Data: []byte("x")}))
		}
		require.NoError(t, a.DeleteState(ctx, "deleted"))
		require.NoError(t, s.ClaimState(ctx, "claimed", 5))
		ids, err := s.IDs(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"kept"}, ids)
		ids, err = s.IDs(store.WithDeleted(ctx))
		require.NoError(t, err)
		require.Equal(t, []string{"deleted", "kept"}, ids)
	}
}

func TestASetWithoutAMemberKeepsTheOthersByteForByte(t *testing.T) {
	member := func(id string) []byte {
		b, err := durable.EncodeSnapshot(id, &durable.Snapshot{Epoch: 1, Version: 2, WriteID: "w", Codec: "json", Data: []byte(`{"n":1}`)})
		require.NoError(t, err)
		return b
	}
	left, mid, right := member("left"), member("mid"), member("right")
	right[len(right)-1] ^= 1 // it does not verify
	for i, id := range []string{"left", "mid", "right"} {
		data, err := survey.Without(slices.Concat(left, mid, right), id, survey.Fence{Epoch: 7, Version: 9})
		require.NoError(t, err)
		members, err := survey.Members(data)
		require.NoError(t, err)
		for j, raw := range [][]byte{left, mid, right} {
			require.Equal(t, i == j, members[j].Deleted)
			require.Equal(t, i != j, slices.Equal(raw, members[j].Raw))
		}
		require.Equal(t, [2]uint64{7, 9}, [2]uint64{members[i].Epoch, members[i].Version})
		require.Empty(t, members[i].Data)
	}
	_, err := survey.Without(slices.Concat(left, mid[:20]), "left", survey.Fence{})
	require.ErrorIs(t, err, durable.ErrCorrupt, "what is behind it would be lost")
}
