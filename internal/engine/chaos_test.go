package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// Owners come and go, the store fails and answers late, components are restored
// while others commit: what was acknowledged is there in the end.
func TestP1P5P6_NoAcknowledgedCommitIsLostInAnyOrderOfEvents(t *testing.T) {
	for seed := range uint64(20) {
		testkit.Bubble(t, func(t *testing.T) {
			c := &chaos{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 1)), store: late{testkit.NewFlaky()},
				spill: durable.NewMemoryAdapter(nil), acked: map[string]map[string]bool{}}
			for _, id := range chaosIDs {
				c.acked[id] = map[string]bool{}
			}
			for run := range 6 {
				c.run(run)
			}
			for _, id := range chaosIDs {
				require.NotEmpty(t, c.acked[id])
			}
		})
	}
}

var chaosIDs = []string{"a", "b", "c"}

// chaos is some runs of a program, one after the other, on one store.
type chaos struct {
	t     *testing.T
	seed  uint64
	r     *rand.Rand
	store late
	spill *durable.MemoryAdapter

	mu    sync.Mutex
	acked map[string]map[string]bool
}

func (c *chaos) run(run int) {
	cp, parts := c.begin()
	var commits sync.WaitGroup
	for _, id := range chaosIDs {
		for n := range 8 {
			wait, word := time.Duration(c.r.IntN(30_000))*time.Millisecond, fmt.Sprintf("r%d-%d", run, n)
			commits.Go(func() { c.commit(id, parts[id], wait, word) })
		}
	}
	c.disturb(cp)
	if c.r.IntN(2) == 0 {
		c.heal()
		commits.Wait()
	}
	_ = testkit.CloseWithin(c.t, cp, 20*time.Second)
	commits.Wait()
	c.heal()
}

// begin starts the program, in which all must be that was ever acknowledged.
func (c *chaos) begin() (*durable.Checkpointer, map[string]*testkit.WordCounter) {
	o := testkit.Quiet()
	o.Interval, o.LeaseTTL, o.Spill = 3*time.Second, 6*time.Second, c.spill
	cp := durable.New(c.store, o)
	parts := map[string]*testkit.WordCounter{}
	for _, id := range chaosIDs {
		parts[id] = &testkit.WordCounter{}
		require.NoError(c.t, cp.Register(id, parts[id]))
	}
	_, err := cp.Restore(c.t.Context())
	require.NoError(c.t, err)
	require.NoError(c.t, cp.Start())
	for _, id := range chaosIDs {
		for word := range c.acked[id] {
			require.Equal(c.t, 1, parts[id].Count(word), "seed %d: %s lost %s", c.seed, id, word)
		}
	}
	return cp, parts
}

func (c *chaos) commit(id string, part *testkit.WordCounter, wait time.Duration, word string) {
	time.Sleep(wait)
	ctx, cancel := context.WithTimeout(c.t.Context(), 15*time.Second)
	defer cancel()
	if part.Commit(ctx, func(s *testkit.Counts) { s.Words[word] = 1 }) == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.acked[id][word] = true
	}
}

// disturb has the store fail and recover and components restored, at random.
func (c *chaos) disturb(cp *durable.Checkpointer) {
	for range 4 {
		time.Sleep(time.Duration(c.r.IntN(8000)) * time.Millisecond)
		switch c.r.IntN(4) {
		case 0:
			c.store.Down("save", "refresh", "renew")
		case 1:
			c.heal()
		case 2:
			go cp.Restore(c.t.Context(), chaosIDs[c.r.IntN(len(chaosIDs))])
		case 3:
			go cp.Restore(c.t.Context())
		}
	}
}

func (c *chaos) heal() { c.store.Up("save", "refresh", "renew") }
