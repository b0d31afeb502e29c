package durable_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/durablestate/durable"
	"github.com/stretchr/testify/require"
)

// Owners come and go, the store fails and answers late, components are restored
// while others commit: what was acknowledged is there in the end.
func TestP1P5P6_NoAcknowledgedCommitIsLostInAnyOrderOfEvents(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			a := late{newFlaky()}
			spill := durable.NewMemoryAdapter(nil)
			var mu sync.Mutex
			acked := map[string]map[string]bool{}
			ids := []string{"a", "b", "c"}
			for run := range 6 {
				o := quiet()
				o.Interval, o.LeaseTTL, o.Spill = 3*time.Second, 6*time.Second, spill
				cp := durable.New(a, o)
				parts := map[string]*wordCounter{}
				for _, id := range ids {
					parts[id] = &wordCounter{}
					require.NoError(t, cp.Register(id, parts[id]))
				}
				_, err := cp.Restore(t.Context())
				require.NoError(t, err)
				require.NoError(t, cp.Start())
				for _, id := range ids {
					for word := range acked[id] {
						require.Equal(t, 1, parts[id].count(word), "seed %d: %s lost %s", seed, id, word)
					}
				}
				var wg sync.WaitGroup
				for _, id := range ids {
					for n := range 8 {
						wait, word := time.Duration(r.IntN(30_000))*time.Millisecond, fmt.Sprintf("r%d-%d", run, n)
						wg.Go(func() {
							time.Sleep(wait)
							ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
							defer cancel()
							if parts[id].Commit(ctx, func(c *counts) { c.Words[word] = 1 }) == nil {
								mu.Lock()
								defer mu.Unlock()
								if acked[id] == nil {
									acked[id] = map[string]bool{}
								}
								acked[id][word] = true
							}
						})
					}
				}
				for range 4 {
					time.Sleep(time.Duration(r.IntN(8000)) * time.Millisecond)
					switch r.IntN(4) {
					case 0:
						a.down("save", "refresh", "renew")
					case 1:
						a.up("save", "refresh", "renew")
					case 2:
						go cp.Restore(t.Context(), ids[r.IntN(3)])
					case 3:
						go cp.Restore(t.Context())
					}
				}
				if r.IntN(2) == 0 {
					a.up("save", "refresh", "renew")
					wg.Wait()
				}
				_ = closeWithin(t, cp, 20*time.Second)
				wg.Wait()
				a.up("save", "refresh", "renew")
			}
			for _, id := range ids {
				require.NotEmpty(t, acked[id])
			}
		})
	}
}
