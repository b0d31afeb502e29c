package filestore_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

func TestSaveIsAcknowledgedOnlyAfterContentAndNameAreDurable(t *testing.T) {
	s, h := openHooked(t, t.TempDir())
	save(t, s, "c", 1, 1, "{}")
	h.since()
	save(t, s, "c", 1, 2, "{}")
	require.Equal(t, []string{
		"create temp", "write temp", "sync temp", "close temp", "publish c-0000000000000002", "sync directory",
	}, h.since())
}

func TestFormatIsDurableBeforeTheFirstCommitIsPublished(t *testing.T) {
	s, h := openHooked(t, t.TempDir())
	save(t, s, "c", 1, 1, "{}")
	log := h.since()
	format := slices.Index(log, "publish FORMAT")
	require.Positive(t, format)
	require.Equal(t, "sync directory", log[format+1])
	require.Greater(t, slices.Index(log, "publish c-0000000000000001"), format+1)
}

func TestFailureBeforePublishingLeavesTheOldGenerationAndNoLitter(t *testing.T) {
	for _, step := range []string{"create temp", "write temp", "sync temp", "close temp", "publish c-0000000000000002"} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			s, h := openHooked(t, dir)
			save(t, s, "c", 1, 1, "old")
			h.since()
			h.on(func(op string) error {
				if op == step {
					return syscall.ENOSPC
				}
				return nil
			})
			require.ErrorIs(t, s.Save(ctx, "c", snap(1, 2, "new")), syscall.ENOSPC)
			require.LessOrEqual(t, strings.Count(strings.Join(h.since(), ","), "sync temp"), 1, "a failed sync must not be repeated")
			require.Empty(t, list(t, dir, ".t-"))
			h.on(nil)
			data, version, last := loaded(t, s, "c")
			require.Equal(t, "old", data)
			require.EqualValues(t, 1, version)
			require.EqualValues(t, 1, last)
			save(t, s, "c", 1, 2, "new")
			require.Contains(t, h.since(), "create temp", "a new file takes the place of the failed one")
			data, _, _ = loaded(t, open(t, dir), "c")
			require.Equal(t, "new", data)
		})
	}
}

func TestFailedDirectorySyncStopsAllWritesUntilReopened(t *testing.T) {
	dir := t.TempDir()
	s, h := openHooked(t, dir)
	save(t, s, "c", 1, 1, "old")
	h.on(func(op string) error {
		if op == "sync directory" {
			return syscall.EIO
		}
		return nil
	})
	require.ErrorIs(t, s.Save(ctx, "c", snap(1, 2, "new")), syscall.EIO)
	h.on(nil)
	h.since()
	require.ErrorIs(t, s.Save(ctx, "c", snap(1, 3, "x")), syscall.EIO)
	require.ErrorIs(t, s.Save(ctx, "c", snap(1, 2, "new")), syscall.EIO, "a repeat proves nothing either")
	require.ErrorIs(t, s.Claim(ctx, "c", 9), syscall.EIO)
	require.NotContains(t, h.since(), "sync directory")
	require.NoError(t, s.Close())
	save(t, open(t, dir), "c", 1, 3, "x")
}

func TestDirectoryThatCannotBeSyncedIsUsedNevertheless(t *testing.T) {
	s, h := openHooked(t, t.TempDir())
	h.on(func(op string) error {
		if op == "sync directory" {
			return vfs.ErrSyncUnsupported
		}
		return nil
	})
	save(t, s, "c", 1, 1, "{}")
	save(t, s, "c", 1, 2, "{}")
}

func TestWaitingSavesShareOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, h := openHooked(t, dir)
		save(t, s, "warm", 1, 1, "{}")
		h.since()
		var snaps []*store.Snapshot
		for i := range 64 {
			snaps = append(snaps, snap(1, 1, fmt.Sprintf(`{"n":%d}`, i)))
		}
		together(t, s, h, snaps...)
		log := h.since()
		count := func(op string) (n int) {
			for _, l := range log {
				if l == op {
					n++
				}
			}
			return n
		}
		require.Equal(t, 2, count("sync temp"), "one for the save that was under way, one for all others")
		require.Equal(t, 2, count("sync directory"))
		require.NoError(t, s.Close())
		r := open(t, dir)
		for i := range 64 {
			data, _, _ := loaded(t, r, fmt.Sprintf("c%d", i))
			require.Equal(t, fmt.Sprintf(`{"n":%d}`, i), data)
		}
	})
}

func TestWaiterIsWokenOnlyByASyncThatStartedAfterItsRename(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := openHooked(t, t.TempDir())
		save(t, s, "c", 1, 1, "{}")
		gate, acked := make(chan struct{}), false
		h.on(func(op string) error {
			if op == "sync directory" {
				<-gate
			}
			return nil
		})
		done := make(chan error, 1)
		go func() { err := s.Save(ctx, "c", snap(1, 2, "{}")); acked = true; done <- err }()
		synctest.Wait()
		require.False(t, acked)
		close(gate)
		require.NoError(t, <-done)
	})
}

func TestSavesOfOneComponentInOneCommitAreJudgedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, h := openHooked(t, dir)
		save(t, s, "warm", 1, 1, "{}")
		gate := make(chan struct{})
		h.on(func(op string) error {
			if op == "sync temp" {
				<-gate
			}
			return nil
		})
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i, call := range []func() error{
			func() error { return s.Save(ctx, "warm", snap(1, 2, "{}")) },
			func() error { return s.Save(ctx, "c", snap(1, 5, "five")) },
			func() error { return s.Save(ctx, "c", snap(1, 5, "five")) },  // repeat
			func() error { return s.Save(ctx, "c", snap(1, 4, "four")) },  // conflict
			func() error { return s.Save(ctx, "c", snap(1, 6, "six")) },   // accepted
			func() error { return s.Claim(ctx, "c", 2) },                  // accepted
			func() error { return s.Save(ctx, "c", snap(1, 7, "late")) },  // fenced
			func() error { return s.Save(ctx, "c", snap(2, 7, "seven")) }, // accepted
		} {
			wg.Go(func() { errs[i] = call() })
			synctest.Wait()
		}
		close(gate)
		wg.Wait()
		for _, i := range []int{0, 1, 2, 4, 5, 7} {
			require.NoError(t, errs[i], i)
		}
		require.ErrorIs(t, errs[3], store.ErrConflict)
		require.ErrorIs(t, errs[6], store.ErrFenced)
		require.NoError(t, s.Close())
		require.Len(t, commits(t, dir), 3)
		data, _, _ := loaded(t, open(t, dir), "c")
		require.Equal(t, "seven", data)
	})
}

func TestCallerWhoseContextEndsLeavesAndMayReuseItsData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, h := openHooked(t, dir)
		save(t, s, "c", 1, 1, "old")
		gate := make(chan struct{})
		h.on(func(op string) error {
			if op == "sync temp" {
				<-gate
			}
			return nil
		})
		c, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		under := snap(1, 2, "under way")
		require.ErrorIs(t, s.Save(c, "c", under), context.DeadlineExceeded)
		copy(under.Data, "XXXXXXXXX")
		c2, cancel2 := context.WithTimeout(ctx, time.Second)
		defer cancel2()
		require.ErrorIs(t, s.Save(c2, "queued", snap(1, 1, "{}")), context.DeadlineExceeded)
		close(gate)
		synctest.Wait()
		data, _, _ := loaded(t, s, "c")
		require.Equal(t, "under way", data, "the commit goes on with the data as it was")
		_, err := s.Load(ctx, "queued")
		require.ErrorIs(t, err, store.ErrNotFound, "what was not begun is withdrawn")
	})
}

func TestRepeatIsRecognisedWithoutWriting(t *testing.T) {
	dir := t.TempDir()
	s, h := openHooked(t, dir)
	save(t, s, "c", 1, 1, "{}")
	h.since()
	save(t, s, "c", 1, 1, "{}")
	nilData := snap(1, 1, "")
	nilData.Data = nil
	require.NoError(t, s.Save(ctx, "c", nilData))
	require.NotContains(t, h.since(), "create temp")

	// In a store that was opened later the name may not be durable yet.
	r, h := openHooked(t, dir)
	h.since()
	save(t, r, "c", 1, 1, "{}")
	require.Contains(t, h.since(), "sync directory")
	save(t, r, "c", 1, 1, "{}")
	require.NotContains(t, h.since(), "sync directory")
	other := snap(1, 1, "{}")
	other.WriteID = "other"
	require.ErrorIs(t, r.Save(ctx, "c", other), store.ErrConflict)
	require.NoError(t, r.Claim(ctx, "c", 2))
	require.ErrorIs(t, r.Save(ctx, "c", snap(1, 1, "{}")), store.ErrFenced)
}

func TestCloseLeavesNoGoroutineAndAnswersClosed(t *testing.T) {
	before := runtime.NumGoroutine()
	s, _ := openHooked(t, t.TempDir())
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for v := uint64(1); ; v++ {
				if err := s.Save(ctx, fmt.Sprint(i), snap(1, v, "{}")); err != nil {
					require.ErrorIs(t, err, store.ErrClosed)
					return
				}
			}
		})
	}
	for f, _ := s.Fence(ctx, "7"); f.Version < 4; f, _ = s.Fence(ctx, "7") {
		runtime.Gosched()
	}
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	wg.Wait()
	_, err := s.Load(ctx, "7")
	require.ErrorIs(t, err, store.ErrClosed)
	_, err = s.AcquireLease(ctx, "l", "me", time.Second, 1)
	require.ErrorIs(t, err, store.ErrClosed)
	requireGoroutines(t, before)
}

func TestIdleStoreHasNoGoroutine(t *testing.T) {
	s, _ := openHooked(t, t.TempDir())
	before := runtime.NumGoroutine()
	save(t, s, "c", 1, 1, "{}")
	requireGoroutines(t, before)
}

func requireGoroutines(t *testing.T, most int) {
	t.Helper()
	for start := time.Now(); runtime.NumGoroutine() > most && time.Since(start) < 10*time.Second; {
		runtime.Gosched()
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), most)
}

func TestWaitingForAnotherProcessThatDeletesEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d, err := vfs.Open(dir)
		require.NoError(t, err)
		defer d.Close()
		lock, err := d.OpenLock("LOCK", true)
		require.NoError(t, err)
		alone, err := lock.Exclusive()
		require.NoError(t, err)
		require.True(t, alone)

		s := open(t, dir)
		before := runtime.NumGoroutine()
		c, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		require.ErrorIs(t, s.Save(c, "c", snap(1, 1, "{}")), context.DeadlineExceeded)
		_, err = s.AcquireLease(c, "l", "me", time.Second, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		require.Equal(t, before, runtime.NumGoroutine(), "nobody waits any more")

		done := make(chan error)
		go func() { done <- s.Save(ctx, "c", snap(1, 1, "{}")) }()
		time.Sleep(time.Second)
		require.NoError(t, lock.Close())
		require.NoError(t, <-done)

		other := open(t, dir)
		lock, err = d.OpenLock("LOCK", true)
		require.NoError(t, err)
		defer lock.Close()
		require.NoError(t, s.Close())
		_, err = lock.Exclusive()
		require.NoError(t, err)
		go func() { done <- other.Save(ctx, "c", snap(1, 2, "{}")) }()
		time.Sleep(time.Second)
		require.NoError(t, other.Close())
		require.ErrorIs(t, <-done, store.ErrClosed)
	})
}

func TestDirectoryThatCannotBeSyncedIsRefusedWhereDurabilityIsRequired(t *testing.T) {
	d, err := vfs.Open(t.TempDir())
	require.NoError(t, err)
	h := &hooked{Dir: d}
	s, err := filestore.New(h, filestore.Options{Keep: 3, RequireDurable: true})
	require.NoError(t, err)
	defer s.Close()
	h.on(func(op string) error {
		if op == "sync directory" {
			return vfs.ErrSyncUnsupported
		}
		return nil
	})
	require.ErrorIs(t, s.Save(ctx, "c", snap(1, 1, "{}")), vfs.ErrSyncUnsupported)
}
