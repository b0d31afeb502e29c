package filestore_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
)

// saveAll saves a version of each of ids and returns what waits for all of them.
func saveAll(t *testing.T, s *filestore.Store, version uint64, ids ...string) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() { save(t, s, id, 1, version, "{}") })
	}
	synctest.Wait()
	return &wg
}

// stopAt makes the next op wait until what it returns is closed.
func (h *hooked) stopAt(op string) (gate chan struct{}) {
	gate = make(chan struct{})
	h.on(func(did string) error {
		if did == op {
			<-gate
		}
		return nil
	})
	return gate
}

func TestCallersWhoComeWhileTheFirstFileIsCreatedShareItsCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, h := openHooked(t, dir)
		save(t, s, "a", 1, 1, "{}")
		synctest.Wait() // its committer has ended
		gate := h.stopAt("create temp")
		first := saveAll(t, s, 2, "a")
		others := saveAll(t, s, 1, "b", "c")
		close(gate)
		first.Wait()
		others.Wait()
		require.Len(t, list(t, dir, "c-"), 2)
	})
}

func TestWhoWaitsDoesNotWaitForFewerWhoWereAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := openHooked(t, t.TempDir())
		together(t, s, h, snap(1, 1, "{}"), snap(1, 1, "{}"))
		time.Sleep(time.Second) // of the bubble: the committer ends
		h.since()
		creating, syncing := h.stopAt("create temp"), make(chan struct{})
		few := saveAll(t, s, 2, "c0", "c1")
		h.on(func(op string) error {
			if op == "sync temp" {
				<-syncing
			}
			return nil
		})
		close(creating)
		synctest.Wait()
		many := saveAll(t, s, 1, "d0", "d1", "d2")
		start := time.Now()
		close(syncing)
		few.Wait()
		many.Wait()
		require.Zero(t, time.Since(start))
		require.Equal(t, 2, strings.Count(strings.Join(h.since(), "\n"), "publish"))
	})
}
