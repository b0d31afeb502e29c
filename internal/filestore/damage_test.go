package filestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
)

// requireFallback demands that the newest generation, damaged somehow, costs
// exactly itself: version 1 comes back and its reader is told.
func requireFallback(t *testing.T, dir, id, what string) {
	t.Helper()
	s, err := filestore.Open(dir, filestore.Options{Keep: 3})
	require.NoError(t, err, what)
	defer s.Close()
	got, err := s.Load(ctx, id)
	require.NoError(t, err, what)
	require.Equal(t, "one", string(got.Data), what)
	require.EqualValues(t, 1, got.Version, what)
	require.GreaterOrEqual(t, got.LastVersion, uint64(2), what)
	another := snap(1, 2, "another")
	another.WriteID = "another"
	require.ErrorIs(t, s.Save(ctx, id, another), store.ErrConflict, what)
}

func TestEveryFlippedByteOfAGenerationIsFoundOut(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "one")
	save(t, s, "c", 1, 2, `{"two":2}`)
	require.NoError(t, s.Close())
	path := newest(t, dir)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range whole {
		for _, bit := range []byte{1, 0x80, 0xff} {
			b := bytes.Clone(whole)
			b[i] ^= bit
			require.NoError(t, os.WriteFile(path, b, 0o600))
			requireFallback(t, dir, "c", fmt.Sprintf("byte %d ^ %#x", i, bit))
		}
	}
	for n := range whole {
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		requireFallback(t, dir, "c", fmt.Sprintf("truncated to %d", n))
	}
	require.NoError(t, os.WriteFile(path, append(bytes.Clone(whole), 0), 0o600))
	requireFallback(t, dir, "c", "garbage behind it")
}

func TestEveryFlippedByteOfABundleIsFoundOut(t *testing.T) {
	var dir string
	synctest.Test(t, func(t *testing.T) {
		dir = t.TempDir()
		s, h := openHooked(t, dir)
		save(t, s, "c0", 1, 1, "one")
		save(t, s, "c1", 1, 1, "one")
		together(t, s, h, snap(1, 2, "two of c0"), snap(1, 2, "two of c1"))
		require.NoError(t, s.Close())
		damageBundle(t, dir)
	})
}

func damageBundle(t *testing.T, dir string) {
	path := newest(t, dir)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 4, bytes.Count(whole, []byte(envelope.Magic)), "two records and two indexes")
	check := func(what string, b []byte) {
		require.NoError(t, os.WriteFile(path, b, 0o600))
		s, err := filestore.Open(dir, filestore.Options{Keep: 3})
		require.NoError(t, err, what)
		defer s.Close()
		for i := range 2 {
			got, err := s.Load(ctx, fmt.Sprintf("c%d", i))
			require.NoError(t, err, what)
			require.EqualValues(t, 2, got.LastVersion, what)
			if got.Version == 2 {
				require.Equal(t, fmt.Sprintf("two of c%d", i), string(got.Data), what)
			} else {
				require.Equal(t, "one", string(got.Data), what)
			}
		}
	}
	fellBack := func() (n int) {
		s := open(t, dir)
		for i := range 2 {
			if _, v, _ := loaded(t, s, fmt.Sprintf("c%d", i)); v == 1 {
				n++
			}
		}
		return n
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x41
		check(fmt.Sprintf("byte %d", i), b)
		require.LessOrEqual(t, fellBack(), 1, "one damaged byte costs at most one record: byte %d", i)
	}
	for n := range whole {
		check(fmt.Sprintf("truncated to %d", n), whole[:n])
	}
	for at := 0; at < len(whole); at += 64 {
		b := bytes.Clone(whole)
		clear(b[at:min(len(b), at+64)])
		check(fmt.Sprintf("zeroed from %d", at), b)
	}
}

func TestDamageThatNamesNobodyIsToldToEverybodyItMayConcern(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "before", 1, 4, "b")
	save(t, s, "lost", 1, 1, "l")
	path := newest(t, dir)
	save(t, s, "after", 1, 1, "a")
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(path, nil, 0o600))

	s = open(t, dir)
	_, err := s.Load(ctx, "lost")
	require.ErrorIs(t, err, store.ErrCorrupt, "not: never saved")
	_, version, last := loaded(t, s, "before")
	require.EqualValues(t, 4, version)
	require.EqualValues(t, 5, last, "it may be a newer one of this component")
	_, version, last = loaded(t, s, "after")
	require.Equal(t, version, last)
	var errs []error
	ids := map[string]bool{}
	for id, err := range s.List(ctx) {
		if err != nil {
			errs = append(errs, err)
		} else {
			ids[id] = true
		}
	}
	require.ElementsMatch(t, []string{"before", "after"}, slices.Collect(maps.Keys(ids)))
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], store.ErrCorrupt)
	_, err = s.LoadLease(ctx, "l")
	require.ErrorIs(t, err, store.ErrCorrupt)

	// Saving it again settles the doubt, and only for that component.
	save(t, s, "before", 1, 6, "b6")
	_, version, last = loaded(t, s, "before")
	require.Equal(t, version, last)
	require.ErrorIs(t, s.Save(ctx, "lost", snap(1, 1, "new")), store.ErrConflict)
	save(t, s, "lost", 1, 2, "new")
	require.NoError(t, s.Close())
	_, version, last = loaded(t, open(t, dir), "lost")
	require.Equal(t, version, last)
	_, err = os.Stat(path)
	require.NoError(t, err, "the bytes are kept")
}

func TestGenerationsThatDoNotVerifyDoNotCountTowardsKeep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "good")
	for v := uint64(2); v <= 3; v++ {
		save(t, s, "c", 1, v, "rotten")
		rot(t, newest(t, dir))
	}
	require.NoError(t, s.Close())
	s = open(t, dir)
	for v := uint64(4); v <= 5; v++ {
		save(t, s, "c", 1, v, "newer")
	}
	require.NoError(t, s.Close())
	s = open(t, dir)
	infos, err := s.History(ctx, "c")
	require.NoError(t, err)
	require.Len(t, infos, 5)
	for i, version := range []uint64{5, 4, 3, 2, 1} {
		require.Equal(t, version, infos[i].Version)
		require.Equal(t, version == 2 || version == 3, errors.Is(infos[i].Err, store.ErrCorrupt))
	}
	got, err := s.LoadVersion(ctx, "c", 1)
	require.NoError(t, err)
	require.Equal(t, "good", string(got.Data))
	_, err = s.LoadVersion(ctx, "c", 2)
	require.ErrorIs(t, err, store.ErrCorrupt)

	// With three good ones above them the rotten go aside, bytes kept.
	save(t, s, "c", 1, 6, "newest")
	require.NoError(t, s.Close())
	require.Equal(t, []string{"x-c-0000000000000002", "x-c-0000000000000003"}, list(t, dir, "x-"))
	s = open(t, dir)
	infos, err = s.History(ctx, "c")
	require.NoError(t, err)
	require.Len(t, infos, 3)
	_, err = s.LoadVersion(ctx, "c", 1)
	require.ErrorIs(t, err, store.ErrNotFound)
}

// rot changes the last byte of the file.
func rot(t testing.TB, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[len(b)-1] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o600))
}

func TestFilesSetAsideStayAndTheirNumbersAreNeverUsedAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for v := uint64(1); v <= 20; v++ {
		save(t, s, "c", 1, v, "rotten")
		rot(t, newest(t, dir))
	}
	_, err := s.Load(ctx, "c")
	require.ErrorIs(t, err, store.ErrCorrupt)
	for v := uint64(21); v <= 24; v++ {
		save(t, s, "c", 1, v, "good")
	}
	require.NoError(t, s.Close())
	require.Len(t, list(t, dir, "x-"), 20, "only a person removes them")
	require.Contains(t, list(t, dir, "x-"), "x-c-0000000000000014")
	for _, c := range commits(t, dir) {
		require.NoError(t, os.Remove(filepath.Join(dir, c)))
	}
	s = open(t, dir)
	save(t, s, "c", 1, 1, "new")
	require.Equal(t, []string{"c-0000000000000015"}, commits(t, dir))
}

func TestAllGenerationsDamagedIsCorruptAndNeverOverwritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "one")
	rot(t, newest(t, dir))
	save(t, s, "c", 1, 2, "two")
	rot(t, newest(t, dir))
	_, err := s.Load(ctx, "c")
	require.ErrorIs(t, err, store.ErrCorrupt)
	var e *store.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, store.Fence{Epoch: 1, Version: 2}, e.Fence)
	// The last accepted save again repairs it.
	save(t, s, "c", 1, 2, "two")
	data, _, _ := loaded(t, s, "c")
	require.Equal(t, "two", data)
}

func TestStateOfANewerProgramIsNeverAReasonToFallBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "one")
	save(t, s, "c", 1, 2, "two")
	require.NoError(t, s.Close())
	future := sealed("DURABLE 02 what ever a newer program writes 9 ", "new bytes")
	require.NoError(t, os.WriteFile(newest(t, dir), future, 0o600))
	s = open(t, dir)
	for _, id := range []string{"c", "unknown"} {
		_, err := s.Load(ctx, id)
		require.ErrorIs(t, err, store.ErrTooNew)
		require.ErrorIs(t, s.Save(ctx, id, snap(1, 9, "x")), store.ErrTooNew)
		require.ErrorIs(t, s.Claim(ctx, id, 9), store.ErrTooNew)
		require.ErrorIs(t, s.Delete(ctx, id), store.ErrTooNew)
	}
}

// sealed returns an envelope with head, which ends before the checksums.
func sealed(head, payload string) []byte {
	b := []byte(head)
	sum := crc(castagnoli, head)
	b = fmt.Appendf(b, "%08x ", sum)
	b = fmt.Appendf(b, "%08x %08x\n", crc(castagnoli, string(b)+payload), crc(ieee, string(b)+payload))
	return append(b, payload...)
}

func TestWhatIsNotARegularFileIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "one")
	save(t, s, "c", 1, 2, "two")
	require.NoError(t, s.Close())
	path := newest(t, dir)
	require.NoError(t, os.Rename(path, filepath.Join(dir, "elsewhere")))
	require.NoError(t, os.Symlink("elsewhere", path))
	requireFallback(t, dir, "c", "symbolic link")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	requireFallback(t, dir, "c", "directory")
}

func TestExchangedAndCopiedCommitsAreFoundOut(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "one")
	save(t, s, "c", 1, 2, "two")
	save(t, s, "d", 1, 1, "d")
	require.NoError(t, s.Close())
	c := commits(t, dir)
	one, two, tmp := filepath.Join(dir, c[0]), filepath.Join(dir, c[1]), filepath.Join(dir, "tmp")
	require.NoError(t, os.Rename(one, tmp))
	require.NoError(t, os.Rename(two, one))
	require.NoError(t, os.Rename(tmp, two))
	data, version, last := loaded(t, open(t, dir), "c")
	require.Equal(t, "two", data, "the older generation must not pass for the newer one")
	require.EqualValues(t, 2, version)
	require.EqualValues(t, 2, last)
}

func TestHalfAStoreIsNotAFreshStart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "one")
	require.NoError(t, s.Close())
	format := filepath.Join(dir, "FORMAT")
	line, err := os.ReadFile(format)
	require.NoError(t, err)
	reopen := func() error {
		s, err := filestore.Open(dir, filestore.Options{Keep: 3})
		if err == nil {
			s.Close()
		}
		return err
	}
	for i := range line {
		b := bytes.Clone(line)
		b[i] ^= 4
		require.NoError(t, os.WriteFile(format, b, 0o600))
		require.ErrorIs(t, reopen(), store.ErrCorrupt)
	}
	newer := strings.Replace(string(line[:len(line)-9]), " 01 ", " 02 ", 1)
	require.NoError(t, os.WriteFile(format, fmt.Appendf(nil, "%s%08x\n", newer, crc(castagnoli, newer)), 0o600))
	require.ErrorIs(t, reopen(), store.ErrTooNew)
	require.NoError(t, os.Remove(format))
	require.ErrorIs(t, reopen(), store.ErrCorrupt)
	require.NoError(t, os.WriteFile(format, line, 0o600))
	require.NoError(t, reopen())
}

func TestStoredStateAboveTheLimitIsNotRead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, strings.Repeat("x", 8192))
	require.NoError(t, s.Close())
	s, err := filestore.Open(dir, filestore.Options{Keep: 3, MaxBytes: 100})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Load(ctx, "c")
	require.ErrorIs(t, err, store.ErrTooLarge)
}

func TestLitterOfACrashIsRemoved(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	save(t, s, "c", 1, 1, "one")
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".t-LEFT"), []byte("half"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "l-old-0000000000000001"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes of the operator"), nil, 0o600))
	s = open(t, dir)
	data, _, _ := loaded(t, s, "c")
	require.Equal(t, "one", data)
	save(t, s, "c", 1, 2, "two")
	require.NoError(t, s.Close())
	require.Equal(t, []string{"FORMAT", "LOCK", "c-0000000000000001", "c-0000000000000002", "notes of the operator"}, list(t, dir, ""))
}

func TestDamageWhileTheStoreIsOpenIsFoundOut(t *testing.T) {
	for what, damage := range map[string]func([]byte) []byte{
		"garbage behind it": func(b []byte) []byte { return append(b, '\n') },
		"truncated":         func(b []byte) []byte { return b[:len(b)-1] },
		"empty":             func([]byte) []byte { return nil },
		"other component's": func(b []byte) []byte { return bytes.Replace(b, []byte(" c "), []byte(" d "), 1) },
	} {
		dir := t.TempDir()
		s := open(t, dir)
		save(t, s, "c", 1, 1, "one")
		save(t, s, "c", 1, 2, "two")
		b, err := os.ReadFile(newest(t, dir))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(newest(t, dir), damage(b), 0o600))
		data, version, last := loaded(t, s, "c")
		require.Equal(t, "one", data, what)
		require.EqualValues(t, 1, version, what)
		require.EqualValues(t, 2, last, what)
	}
}
