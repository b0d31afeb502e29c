package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestEveryOneOfManyComponentsIsFoundByItsIDAndStaysInOrder(t *testing.T) {
	ctx := context.Background()
	cp := durable.New(testkit.NewFlaky(), testkit.Quiet())
	defer cp.Close()
	var ids []string
	for i := range 3000 {
		ids = append(ids, fmt.Sprint(rand.Uint64(), "-", i))
		require.NoError(t, cp.Register(ids[i], &testkit.WordCounter{}))
		require.Error(t, cp.Register(ids[rand.N(len(ids))], &testkit.WordCounter{}), "twice")
	}
	_, err := cp.Restore(ctx)
	require.NoError(t, err)
	for _, id := range ids {
		require.NoError(t, cp.Checkpoint(ctx, id))
		require.ErrorIs(t, cp.Checkpoint(ctx, id+"x"), durable.ErrNotRegistered)
	}
	var listed []string
	for _, s := range cp.Status() {
		listed = append(listed, s.ComponentID)
		require.EqualValues(t, 1, s.Saves, s.ComponentID)
	}
	require.Equal(t, ids, listed)
}

// refusedOnce panics when it is registered for the first time.
type refusedOnce struct {
	durable.StatefulComponent[testkit.Counts]
	tries int
}

func (r *refusedOnce) StateSchema() int { return -1 + r.tries }

func (r *refusedOnce) MigrateState(int, []byte) ([]byte, error) {
	return nil, nil
}

func TestAnIDWhoseComponentWasRefusedIsFree(t *testing.T) {
	cp := durable.New(testkit.NewFlaky(), testkit.Quiet())
	defer cp.Close()
	require.Error(t, cp.Register("a", &refusedOnce{}))
	require.Empty(t, cp.Status())
	require.NoError(t, cp.Register("a", &refusedOnce{tries: 1}))
	require.Len(t, cp.Status(), 1)
}

// A component that comes while a Restore begins is a part of it, or comes too late:
// the set is restored with exactly the parts that it has.
func TestAComponentComesBeforeARestoreOrNotAtAll(t *testing.T) {
	ctx := context.Background()
	o := testkit.Quiet()
	o.Consistent = true
	for range 300 {
		cp := durable.New(durable.NewMemoryAdapter(nil), o)
		var coming sync.WaitGroup
		for id := range 8 {
			coming.Go(func() { _ = cp.Register(fmt.Sprint(id), &testkit.WordCounter{}) })
		}
		report, err := cp.Restore(ctx)
		require.NoError(t, err)
		coming.Wait()
		require.Len(t, cp.Status(), len(report.Results)+1)
		require.NoError(t, cp.Close())
	}
}

func TestAComponentThatCameTooLateIsFreeForAnother(t *testing.T) {
	a := testkit.NewFlaky()
	h := testkit.Start(t, a, nil)
	defer h.Close()
	late := &initialised{}
	require.ErrorContains(t, h.Register("late", late), "before Restore")
	require.Zero(t, late.times, "it was not touched")
	require.ErrorIs(t, late.CheckpointState(t.Context()), durable.ErrNotRegistered)
	other := durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet())
	defer other.Close()
	require.NoError(t, other.Register("late", late))
}

// initialised counts the calls of InitState.
type initialised struct {
	durable.StatefulComponent[testkit.Counts]
	times int
}

func (i *initialised) InitState() { i.times++ }
