package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

func TestOneWinnerPerVersionBetweenTwoStoresOnOneDirectory(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	const versions = 100
	var won [2][versions + 1]bool
	// Readers bring the index up to date at any moment, also between the
	// judging of a save and its writing.
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for _, s := range []interface {
		Fence(c context.Context, id string) (store.Fence, error)
	}{a, b, a, b} {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					s.Fence(ctx, "c")
				}
			}
		})
	}
	var wg sync.WaitGroup
	for i, s := range []interface {
		Save(c context.Context, id string, s *store.Snapshot) error
	}{a, b} {
		wg.Go(func() {
			for v := uint64(1); v <= versions; v++ {
				sn := snap(1, v, fmt.Sprintf("%d by %d", v, i))
				sn.WriteID = fmt.Sprintf("w%dby%d", v, i)
				err := s.Save(ctx, "c", sn)
				if err != nil && !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
				won[i][v] = err == nil
			}
		})
	}
	wg.Wait()
	close(stop)
	readers.Wait()
	for v := 1; v <= versions; v++ {
		require.False(t, won[0][v] && won[1][v], "version %d was accepted twice", v)
	}
	winner := 0
	if won[1][versions] {
		winner = 1
	}
	for _, s := range []interface{ Close() error }{a, b} {
		require.NoError(t, s.Close())
	}
	data, _, _ := loaded(t, open(t, dir), "c")
	require.Equal(t, fmt.Sprintf("%d by %d", versions, winner), data)
}

func TestPausedStoreIsFencedWhenItWakesUp(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	save(t, a, "c", 1, 1, "a1")
	require.NoError(t, b.Claim(ctx, "c", 5))
	save(t, b, "c", 5, 2, "b2")
	err := a.Save(ctx, "c", snap(1, 2, "a2"))
	require.ErrorIs(t, err, store.ErrFenced)
	var e *store.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, store.Fence{Epoch: 5, Version: 2}, e.Fence)
	data, _, _ := loaded(t, a, "c")
	require.Equal(t, "b2", data)
}

// A store that was opened long ago and never wrote must not reuse the number of
// a commit that was deleted since.
func TestStoreThatSleptThroughDeletionsFindsTheLatestState(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	b := open(t, dir)
	for v := uint64(1); v <= 10; v++ {
		save(t, b, "c", 1, v, fmt.Sprint(v))
	}
	require.NoError(t, b.Close())
	require.NotContains(t, commits(t, dir), "c-0000000000000001")
	require.ErrorIs(t, a.Save(ctx, "c", snap(1, 1, "again")), store.ErrConflict)
	save(t, a, "c", 1, 11, "eleven")
	data, _, _ := loaded(t, open(t, dir), "c")
	require.Equal(t, "eleven", data)
}

func TestNothingIsDeletedWhileAnotherWriterLives(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	save(t, b, "other", 1, 1, "{}")
	for v := uint64(1); v <= 40; v++ {
		save(t, a, "c", 1, v, "{}")
	}
	require.Len(t, commits(t, dir), 41)
	require.NoError(t, b.Close())
	require.NoError(t, a.Close())
	require.Len(t, commits(t, dir), 4)
}

func TestReaderFollowsAWriterThatDeletes(t *testing.T) {
	dir := t.TempDir()
	w, r := open(t, dir), open(t, dir)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for v := uint64(1); v <= 200; v++ {
			if err := w.Save(ctx, "c", snap(1, v, fmt.Sprint(v))); err != nil {
				t.Error(err)
			}
		}
	}()
	seen := uint64(0)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		got, err := r.Load(ctx, "c")
		if errors.Is(err, store.ErrNotFound) && seen == 0 {
			continue
		}
		require.NoError(t, err)
		require.GreaterOrEqual(t, got.Version, seen)
		require.Equal(t, fmt.Sprint(got.Version), string(got.Data))
		seen = got.Version
		_, err = r.History(ctx, "c")
		require.NoError(t, err)
	}
	require.EqualValues(t, 200, seen)
}

// A busy owner deletes what it has superseded while its successor opens the
// directory and has not read it yet.
func TestADirectoryIsOpenedHoweverOftenAFileVanishesMeanwhile(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	for v := uint64(1); v <= 25; v++ {
		save(t, w, "c", 1, v, fmt.Sprint(v))
	}
	d, err := vfs.Open(dir)
	require.NoError(t, err)
	h := &hooked{Dir: d}
	vanished := 0
	h.on(func(op string) error {
		if name, isOpen := strings.CutPrefix(op, "open c-"); isOpen && vanished < 20 {
			vanished++
			return d.Remove("c-" + name)
		}
		return nil
	})
	s, err := newStore(h)
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, 20, vanished)
	data, _, _ := loaded(t, s, "c")
	require.Equal(t, "25", data)
}

func TestReadersTakeNoLockAndWriteNothing(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	_, err := r.Load(ctx, "c")
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = r.Fence(ctx, "c")
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Empty(t, list(t, dir, ""))
}

func TestDeletionSurvivesTheCleaningOfItsTraces(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "secret")
	require.NoError(t, s.Delete(ctx, "c"))
	require.NoError(t, s.Delete(ctx, "never there"))
	require.NoError(t, s.Claim(ctx, "c", 7))
	require.NoError(t, s.Close())
	require.Len(t, commits(t, dir), 2, "the state is gone, and its deletion is part of the claim")
	s = open(t, dir)
	_, err := s.Load(ctx, "c")
	require.ErrorIs(t, err, store.ErrNotFound)
	for range s.List(ctx) {
		t.Fatal("nothing is saved")
	}
	require.ErrorIs(t, s.Save(ctx, "c", snap(6, 2, "x")), store.ErrFenced)
	require.ErrorIs(t, s.Save(ctx, "never there", snap(0, 1, "x")), store.ErrFenced)
	save(t, s, "c", 7, 2, "x")
}

func TestClaimSurvivesReopening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, s.Claim(ctx, "fresh", 3))
	require.NoError(t, s.Claim(ctx, "fresh", 3))
	save(t, s, "c", 1, 4, "x")
	require.NoError(t, s.Claim(ctx, "c", 9))
	require.ErrorIs(t, s.Claim(ctx, "c", 8), store.ErrFenced)
	require.NoError(t, s.Close())
	s = open(t, dir)
	_, err := s.Load(ctx, "fresh")
	require.ErrorIs(t, err, store.ErrNotFound)
	f, err := s.Fence(ctx, "c")
	require.NoError(t, err)
	require.Equal(t, store.Fence{Epoch: 9, Version: 4}, f)
	_, version, last := loaded(t, s, "c")
	require.EqualValues(t, 4, version)
	require.EqualValues(t, 4, last)
}

func TestVanishedGenerationIsLostAndARepeatWritesItAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "one")
	save(t, s, "c", 1, 2, "two")
	require.NoError(t, os.Remove(newest(t, dir)))
	_, err := s.Load(ctx, "c")
	require.ErrorIs(t, err, store.ErrLost)
	infos, err := s.History(ctx, "c")
	require.NoError(t, err)
	require.Len(t, infos, 2)
	require.ErrorIs(t, infos[0].Err, store.ErrLost)
	_, err = s.LoadVersion(ctx, "c", 2)
	require.ErrorIs(t, err, store.ErrLost)
	refresh := snap(1, 2, "")
	refresh.Data = nil
	require.ErrorIs(t, s.Save(ctx, "c", refresh), store.ErrLost)
	save(t, s, "c", 1, 2, "two")
	data, _, _ := loaded(t, s, "c")
	require.Equal(t, "two", data)
	require.NoError(t, s.Save(ctx, "c", refresh))
	require.NoError(t, s.Close())
	data, version, last := loaded(t, open(t, dir), "c")
	require.Equal(t, "two", data)
	require.EqualValues(t, 2, version)
	require.EqualValues(t, 2, last)
}

func TestGenerationGoneBesideItsClaimIsLostAfterReopening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "one")
	save(t, s, "c", 1, 2, "two")
	gone := newest(t, dir)
	require.NoError(t, s.Claim(ctx, "c", 5))
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(gone))
	s = open(t, dir)
	_, err := s.Load(ctx, "c")
	require.ErrorIs(t, err, store.ErrLost)
	save(t, s, "c", 5, 3, "three")
}

func TestReaderListsAQuietDirectoryOnlyOnce(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	save(t, w, "c", 1, 1, "one")
	long := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(dir, long, long))
	r, h := openHooked(t, dir)
	h.since()
	for range 3 {
		loaded(t, r, "c")
	}
	require.NotContains(t, h.since(), "list")
	save(t, w, "c", 1, 2, "two")
	for range 2 {
		data, _, _ := loaded(t, r, "c")
		require.Equal(t, "two", data)
		require.Contains(t, h.since(), "list", "the change is too young to tell it from the next")
	}
}

// While a big state is encoded another process claims the component and a reader
// of this store finds that out. The save must be judged again.
func TestClaimDuringTheEncodingOfASaveIsNotBypassed(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	save(t, a, "c", 1, 1, "{}")
	big := strings.Repeat("x", 24<<20)
	for i := range uint64(8) {
		f, err := a.Fence(ctx, "c")
		require.NoError(t, err)
		done := make(chan error)
		go func() { done <- a.Save(ctx, "c", snap(f.Epoch, f.Version+1, big)) }()
		go func() { done <- b.Claim(ctx, "c", f.Epoch+1+i%2) }()
		for left := 2; left > 0; {
			select {
			case err := <-done:
				if err != nil {
					require.ErrorIs(t, err, store.ErrFenced)
				}
				left--
			default:
				_, err := a.Fence(ctx, "c")
				require.NoError(t, err)
			}
		}
		infos, err := open(t, dir).History(ctx, "c")
		require.NoError(t, err)
		for _, info := range infos {
			require.NoError(t, info.Err, "version %d was committed after the claim that forbids it", info.Version)
		}
	}
}

// gapDir has locks as most systems know them: changing their kind gives the old
// one up first.
type gapDir struct{ vfs.Dir }

type gapLock struct{ vfs.Lock }

func (gapLock) Atomic() bool { return false }

func (d gapDir) OpenLock(name string, create bool) (vfs.Lock, error) {
	l, err := d.Dir.OpenLock(name, create)
	return gapLock{l}, err
}

func TestStoresWorkWhereLocksCannotBeConverted(t *testing.T) {
	dir := t.TempDir()
	var stores []*filestore.Store
	for range 2 {
		d, err := vfs.Open(dir)
		require.NoError(t, err)
		s, err := newStore(gapDir{d})
		require.NoError(t, err)
		defer s.Close()
		stores = append(stores, s)
	}
	for v := uint64(1); v <= 80; v++ {
		save(t, stores[0], "c", 1, v, fmt.Sprint(v))
	}
	require.Less(t, len(commits(t, dir)), 40, "alone it deletes")
	for v := uint64(81); v <= 160; v++ {
		save(t, stores[v%2], "c", 1, v, fmt.Sprint(v))
	}
	require.Greater(t, len(commits(t, dir)), 70, "together they do not")
	require.NoError(t, stores[0].Close())
	require.NoError(t, stores[1].Close())
	data, _, _ := loaded(t, open(t, dir), "c")
	require.Equal(t, "160", data)
	require.LessOrEqual(t, len(commits(t, dir)), 4, "the last may not have seen the last commit of the other")
}

// A writer that deletes as fast as another store reads must not keep that one
// from opening the directory.
func TestOpeningSucceedsBesideAWriterThatDeletesWhatWasListed(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	version := uint64(0)
	saveMany := func(n int) {
		for range n {
			version++
			save(t, w, "c", 1, version, fmt.Sprint(version))
		}
	}
	saveMany(40)
	d, err := vfs.Open(dir)
	require.NoError(t, err)
	h := &hooked{Dir: d}
	opened := 0
	h.on(func(op string) error {
		if strings.HasPrefix(op, "open c-") {
			if opened++; opened%2 == 0 && opened < 20 {
				saveMany(33)
			}
		}
		return nil
	})
	s, err := newStore(h)
	require.NoError(t, err)
	defer s.Close()
	data, _, _ := loaded(t, s, "c")
	require.Equal(t, fmt.Sprint(version), data)
}
