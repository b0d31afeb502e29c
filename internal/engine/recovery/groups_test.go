package recovery_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/testkit"
)

// restoredMany registers that many components, each of which counts, and restores them.
func restoredMany(t *testing.T, a durable.StateAdapter, o *durable.Options, n int) (*durable.Checkpointer, []durable.StatefulComponent[testkit.Number], durable.Report) {
	t.Helper()
	cp := durable.New(a, o)
	comps := make([]durable.StatefulComponent[testkit.Number], n)
	for i := range comps {
		require.NoError(t, cp.Register(fmt.Sprint("c", i), &comps[i]))
	}
	report, err := cp.Restore(t.Context())
	require.NoError(t, err)
	require.Len(t, report.Results, n)
	return cp, comps, report
}

func TestARestoreOfManyTellsEachOutcome(t *testing.T) {
	for _, consistent := range []bool{false, true} {
		t.Run(fmt.Sprint("consistent=", consistent), func(t *testing.T) {
			const n = 150
			ctx, srv := context.Background(), redistest.Shared(t)
			prefix := "root:many:" + rand.Text() + ":"
			a := testkit.OpenRedis(t, srv.URL(), &durable.RedisOptions{KeyPrefix: prefix})
			o := testkit.Quiet()
			cp, comps, _ := restoredMany(t, a, o, n-1) // the last one is never saved
			for round := range uint64(2) {
				for i := range comps {
					comps[i].Update(func(s *testkit.Number) { s.N = uint64(i) + 1000*round })
				}
				require.NoError(t, cp.Checkpoint(ctx))
			}
			require.NoError(t, cp.Close())
			c := srv.Client(t)
			damage(t, c, prefix+"c5")
			require.NoError(t, c.Del(ctx, prefix+"c70").Err())

			o.Restore, o.Consistent = durable.FreshIfUnreadable, consistent
			cp, comps, report := restoredMany(t, a, o, n)
			for i, r := range report.Results {
				want, outcome := uint64(i)+1000, durable.Restored
				switch i {
				case 5:
					want, outcome = 5, durable.FellBack
				case 70:
					want, outcome = 0, durable.Lost
				case n - 1:
					want, outcome = 0, durable.FirstBoot
				}
				require.Equal(t, fmt.Sprint("c", i), r.ComponentID)
				require.Equal(t, outcome, r.Outcome, r.ComponentID)
				comps[i].View(func(s *testkit.Number) { require.Equal(t, want, s.N, r.ComponentID) })
			}
			comps[9].Update(func(s *testkit.Number) { s.N++ })
			require.NoError(t, cp.Checkpoint(ctx))
			require.NoError(t, cp.Close())
		})
	}
}

// damage flips a byte of the state at key.
func damage(t *testing.T, c *redis.Client, key string) {
	t.Helper()
	v, err := c.Get(t.Context(), key).Bytes()
	require.NoError(t, err)
	v[len(v)-1] ^= 1
	require.NoError(t, c.Set(t.Context(), key, v, 0).Err())
}

// together is a component whose RestoreState returns when all are being restored.
type together struct {
	all  *sync.WaitGroup
	ctx  context.Context
	once sync.Once
}

func (c *together) SnapshotState() ([]byte, error) { return []byte("x"), nil }

func (c *together) RestoreState([]byte) error {
	c.once.Do(c.all.Done)
	done := make(chan struct{})
	go func() { c.all.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-c.ctx.Done():
		return fmt.Errorf("the others are not being restored")
	}
}

func TestComponentsThatTakeLongAreRestoredTogether(t *testing.T) {
	const n = 200
	a := testkit.OpenRedis(t, redistest.Shared(t).URL(), &durable.RedisOptions{KeyPrefix: "root:together:" + rand.Text() + ":"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all sync.WaitGroup
	all.Add(n)
	for range 2 {
		cp := durable.New(a, testkit.Quiet())
		for i := range n {
			require.NoError(t, cp.Register(fmt.Sprint("c", i), &together{all: &all, ctx: ctx}))
		}
		report, err := cp.Restore(t.Context())
		require.NoError(t, err)
		for _, r := range report.Results {
			require.NoError(t, r.Err)
		}
		require.NoError(t, cp.Checkpoint(t.Context()))
		require.NoError(t, cp.Close())
	}
}

// slow is a component whose RestoreState returns when all quick ones are restored.
type slow struct{ together }

func (c *slow) RestoreState(data []byte) error {
	done := make(chan struct{})
	go func() { c.all.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-c.ctx.Done():
		return fmt.Errorf("the quick ones are held up")
	}
}

func TestAComponentThatTakesLongHoldsUpOthersOnlyByThePlaceItTakes(t *testing.T) {
	const hanging, quick = 255, 145 // one place is left for all of these
	a := testkit.OpenRedis(t, redistest.Shared(t).URL(), &durable.RedisOptions{KeyPrefix: "root:slow:" + rand.Text() + ":"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all sync.WaitGroup
	all.Add(quick)
	for range 2 {
		cp := durable.New(a, testkit.Quiet())
		for i := range hanging {
			require.NoError(t, cp.Register(fmt.Sprint("slow", i), &slow{together{all: &all, ctx: ctx}}))
		}
		for i := range quick {
			require.NoError(t, cp.Register(fmt.Sprint("quick", i), &counted{all: &all}))
		}
		report, err := cp.Restore(t.Context())
		require.NoError(t, err)
		for _, r := range report.Results {
			require.NoError(t, r.Err)
		}
		require.NoError(t, cp.Checkpoint(t.Context()))
		require.NoError(t, cp.Close())
	}
}

// counted is a component that is restored at once.
type counted struct {
	all  *sync.WaitGroup
	once sync.Once
}

func (c *counted) SnapshotState() ([]byte, error) { return []byte("x"), nil }

func (c *counted) RestoreState([]byte) error { c.once.Do(c.all.Done); return nil }

func TestAFewComponentsThatCannotBeReadHoldUpNoOthers(t *testing.T) {
	const n = 400
	srv, prefix := redistest.Shared(t), "root:few:"+rand.Text()+":"
	a := testkit.OpenRedis(t, srv.URL(), &durable.RedisOptions{KeyPrefix: prefix})
	cp, comps, _ := restoredMany(t, a, testkit.Quiet(), n)
	for i := range comps {
		comps[i].Update(func(s *testkit.Number) { s.N = 7 })
	}
	require.NoError(t, cp.Checkpoint(t.Context()))
	require.NoError(t, cp.Close())
	for i := 0; i < 300; i += 50 {
		require.NoError(t, srv.Client(t).Del(t.Context(), fmt.Sprint(prefix, "c", i)).Err())
		require.NoError(t, srv.Client(t).RPush(t.Context(), fmt.Sprint(prefix, "c", i), "of another type").Err())
	}
	cp = durable.New(a, testkit.Quiet())
	defer cp.Close()
	for i := range n {
		require.NoError(t, cp.Register(fmt.Sprint("c", i), new(durable.StatefulComponent[testkit.Number])))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	report, err := cp.Restore(ctx)
	require.Error(t, err)
	for i, r := range report.Results {
		want := durable.Restored
		if i < 300 && i%50 == 0 {
			want = durable.Unreachable
		}
		require.Equal(t, want, r.Outcome, r.ComponentID)
	}
}

// watching is a wrapper that sees what is loaded.
type watching struct {
	durable.StateAdapter
	loads *atomic.Int64
}

func (w watching) Unwrap() durable.StateAdapter { return w.StateAdapter }

func (w watching) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	if !strings.Contains(id, "~") {
		w.loads.Add(1)
	}
	return w.StateAdapter.LoadState(ctx, id)
}

func TestAWrapperSeesEveryLoad(t *testing.T) {
	const n = 70
	w := watching{testkit.OpenRedis(t, redistest.Shared(t).URL(), &durable.RedisOptions{KeyPrefix: "root:wrapped:" + rand.Text() + ":"}), new(atomic.Int64)}
	for round := range int64(2) {
		cp, _, _ := restoredMany(t, w, testkit.Quiet(), n)
		require.Equal(t, n*(round+1), w.loads.Load())
		require.NoError(t, cp.Checkpoint(t.Context()))
		require.NoError(t, cp.Close())
	}
}

// embedding is an adapter of ours with a method of its own.
type embedding struct {
	*durable.RedisAdapter
	loads *atomic.Int64
}

func (e embedding) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	return watching{e.RedisAdapter, e.loads}.LoadState(ctx, id)
}

func TestAnAdapterThatEmbedsOursSeesEveryLoad(t *testing.T) {
	const n = 70
	e := embedding{testkit.OpenRedis(t, redistest.Shared(t).URL(), &durable.RedisOptions{KeyPrefix: "root:embedded:" + rand.Text() + ":"}), new(atomic.Int64)}
	for round := range int64(2) {
		cp, _, _ := restoredMany(t, e, testkit.Quiet(), n)
		require.Equal(t, n*(round+1), e.loads.Load())
		require.NoError(t, cp.Checkpoint(t.Context()))
		require.NoError(t, cp.Close())
	}
}

// The claim of a group must not stop what waits in the spill for a store that can
// hold it.
func TestASpillThatTheStoreCannotHoldYetIsNotFencedOffByItsGroup(t *testing.T) {
	ctx, srv := t.Context(), redistest.Shared(t)
	r := &durable.RedisOptions{KeyPrefix: "root:spilled:" + rand.Text() + ":", MaxStateBytes: 100}
	spill := durable.NewMemoryAdapter(nil)
	o := testkit.Quiet()
	o.Spill = spill
	h := testkit.Start(t, testkit.OpenRedis(t, srv.URL(), r), o)
	require.NoError(t, h.Words.Commit(ctx, func(c *testkit.Counts) { c.Words["old"] = 1 }))
	require.NoError(t, h.Close())
	s, err := testkit.OpenRedis(t, srv.URL(), r).LoadState(ctx, "words")
	require.NoError(t, err)
	s.Version, s.WriteID, s.LastVersion = s.Version+1, identityOf(t, testkit.OpenRedis(t, srv.URL(), r)).Label(), 0
	s.Data = []byte(`{"Words":{"` + strings.Repeat("x", 200) + `":1,"new":1}}`)
	require.NoError(t, spill.SaveState(ctx, "words", s))

	h = testkit.Prepare(t, testkit.OpenRedis(t, srv.URL(), r), o)
	_, err = h.Restore(ctx)
	require.ErrorIs(t, err, durable.ErrTooLarge)
	require.NoError(t, h.Close())

	r.MaxStateBytes = 0
	h = testkit.Start(t, testkit.OpenRedis(t, srv.URL(), r), o)
	require.Equal(t, 1, h.Words.Count("new"), "what was spilled is newer than what the store has")
	require.NoError(t, h.Close())
}
