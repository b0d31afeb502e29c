package durable_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

// heapInUse returns the bytes in use after a collection.
func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// noStore is free, and refuses saves while it is broken.
type noStore struct {
	free
	broken bool
}

func (a *noStore) SaveState(context.Context, string, *durable.Snapshot) error {
	if a.broken {
		return errDown
	}
	return nil
}

func TestAnIdleComponentCostsLittleMemoryAlsoAfterAnOutage(t *testing.T) {
	const n, most = 20_000, 250 // bytes beyond the state and the id
	ctx := context.Background()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("component-", i)
	}
	a := &noStore{free: free{MemoryAdapter: durable.NewMemoryAdapter(nil)}}
	before := heapInUse()
	cp := durable.New(a, &durable.Options{Interval: time.Hour, CloseTimeout: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	comps := make([]durable.StatefulComponent[number], n)
	for i := range comps {
		require.NoError(t, cp.Register(ids[i], &comps[i]))
	}
	_, err := cp.Restore(ctx)
	require.NoError(t, err)
	require.NoError(t, cp.Start())
	require.NoError(t, cp.Checkpoint(ctx))
	each := func() int { return (heapInUse()-before)/n - 8 }
	require.LessOrEqual(t, each(), most)

	a.broken = true
	change := func() {
		for i := range comps {
			comps[i].Update(func(s *number) { s.N++ })
		}
	}
	change()
	require.ErrorIs(t, cp.Checkpoint(ctx), errDown)
	a.broken = false
	change()
	require.NoError(t, cp.Checkpoint(ctx))
	require.LessOrEqual(t, each(), most+130, "only the retries that were planned are left")
	require.EqualValues(t, 1, cp.Status()[n-1].Failures)
	require.EqualValues(t, 2, cp.Status()[n-1].Saves)
	require.NoError(t, cp.Status()[n-1].Err)
	runtime.KeepAlive(comps)
	_ = cp.Close()
}

func TestEveryOneOfManyComponentsIsFoundByItsIDAndStaysInOrder(t *testing.T) {
	ctx := context.Background()
	cp := durable.New(newFlaky(), quiet())
	defer cp.Close()
	var ids []string
	for i := range 3000 {
		ids = append(ids, fmt.Sprint(rand.Uint64(), "-", i))
		require.NoError(t, cp.Register(ids[i], &wordCounter{}))
		require.Error(t, cp.Register(ids[rand.N(len(ids))], &wordCounter{}), "twice")
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
	durable.StatefulComponent[counts]
	tries int
}

func (r *refusedOnce) StateSchema() int { return -1 + r.tries }
func (r *refusedOnce) MigrateState(int, []byte) ([]byte, error) {
	return nil, nil
}

func TestAnIDWhoseComponentWasRefusedIsFree(t *testing.T) {
	cp := durable.New(newFlaky(), quiet())
	defer cp.Close()
	require.Error(t, cp.Register("a", &refusedOnce{}))
	require.Empty(t, cp.Status())
	require.NoError(t, cp.Register("a", &refusedOnce{tries: 1}))
	require.Len(t, cp.Status(), 1)
}

// A save asked for while another one is under way is neither lost with it nor
// answered by it.
func TestNoSaveThatWasAskedForIsLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		h := start(t, a, nil)
		defer h.Close()
		turn := make(chan struct{})
		a.on("save", func(string) error { <-turn; return nil })
		results := make(chan error)
		for round := range 5 {
			for _, ctx := range []context.Context{context.Background(), t.Context(), t.Context()} {
				go func() { results <- h.words.Commit(ctx, func(c *counts) { c.Words["a"]++ }) }()
				synctest.Wait()
			}
			turn <- struct{}{}
			require.NoError(t, <-results)
			synctest.Wait()
			require.Empty(t, results)
			turn <- struct{}{}
			require.NoError(t, <-results)
			require.NoError(t, <-results)
			require.EqualValues(t, 2*(round+1), h.Status()[0].Saves)
			require.False(t, h.Status()[0].Changed)
		}
		a.on("save", nil)
	})
}

// deadlines is an adapter that notes how long each save may take.
type deadlines struct {
	*durable.MemoryAdapter
	left []time.Duration
	hang bool
}

func (d *deadlines) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	end, _ := ctx.Deadline()
	d.left = append(d.left, time.Until(end))
	if d.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return d.MemoryAdapter.SaveState(ctx, id, s)
}

func TestEverySaveHasItsSaveTimeoutButForAHundredth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &deadlines{MemoryAdapter: durable.NewMemoryAdapter(nil)}
		h := start(t, a, nil)
		defer h.Close()
		save := func() error {
			h.words.add("a")
			return h.Checkpoint(context.Background())
		}
		for range 100 {
			require.NoError(t, save())
			time.Sleep(7 * time.Millisecond)
		}
		require.GreaterOrEqual(t, slices.Min(a.left), 9900*time.Millisecond)
		require.LessOrEqual(t, slices.Max(a.left), 10*time.Second)
		a.hang = true
		require.ErrorIs(t, save(), context.DeadlineExceeded)
		a.hang = false
		require.NoError(t, save(), "has a time of its own")
		require.Equal(t, 10*time.Second, a.left[len(a.left)-1])
	})
}

func TestACheckpointThatComesWhileASaveIsUnderWayIsLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		o := quiet()
		o.Interval = time.Second
		h := start(t, a, o)
		defer h.Close()
		time.Sleep(2 * time.Second)
		turn := make(chan struct{})
		a.on("save", func(string) error { <-turn; return nil })
		h.words.add("a")
		time.Sleep(2 * time.Second)
		h.words.add("b")
		require.Equal(t, 2, a.calls("save", "words"))
		time.Sleep(3 * time.Second)
		turn <- struct{}{}
		synctest.Wait()
		require.Zero(t, a.calls("save", "words"), "none has queued up")
		go func() { turn <- struct{}{} }()
		time.Sleep(time.Second)
		require.False(t, h.Status()[0].Changed)
		a.on("save", nil)
	})
}
