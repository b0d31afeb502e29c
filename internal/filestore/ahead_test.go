package filestore_test

import (
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheFileOfTheNextCommitIsCreatedWhileItsCallersComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, h := openHooked(t, dir)
		together(t, s, h, snap(1, 1, "{}"), snap(1, 1, "{}"))
		synctest.Wait() // for the committer, which waits for more
		h.since()
		save(t, s, "c0", 1, 2, "{}")
		require.NotContains(t, h.since(), "create temp", "it was there")
		synctest.Wait()
		require.Empty(t, list(t, dir, ".t-"))

		together(t, s, h, snap(1, 3, "{}"), snap(1, 3, "{}"))
		time.Sleep(time.Second) // of the bubble: nobody comes
		synctest.Wait()
		require.Empty(t, list(t, dir, ".t-"), "what was not used must not stay")
	})
}

func TestFailureToCreateAheadFailsNoSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := openHooked(t, t.TempDir())
		together(t, s, h, snap(1, 1, "{}"), snap(1, 1, "{}"))
		time.Sleep(time.Second) // of the bubble: the committer ends
		creates := 0
		gate := make(chan struct{})
		h.on(func(op string) error {
			if op == "sync temp" && creates == 1 {
				<-gate
			}
			if op != "create temp" {
				return nil
			}
			if creates++; creates == 3 { // the third is ahead of the commit after that of the two
				return syscall.ENOSPC
			}
			return nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { save(t, s, "gate", 1, nextGate(s), "{}") })
		synctest.Wait()
		wg.Go(func() { save(t, s, "c0", 1, 2, "{}") })
		wg.Go(func() { save(t, s, "c1", 1, 2, "{}") })
		synctest.Wait()
		close(gate)
		wg.Wait()
		synctest.Wait()
		require.Equal(t, 3, creates)
		save(t, s, "c0", 1, 3, "{}")
	})
}
