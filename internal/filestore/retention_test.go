package filestore_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
)

// openKeeping opens dir with a Keep of its own, and cleans at every opportunity.
func openKeeping(t testing.TB, dir string, keep int) *filestore.Store {
	t.Helper()
	s, err := filestore.Open(dir, filestore.Options{Keep: keep, CleanEvery: 1})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// kept returns the versions of id that s shows, newest first, all of which can be
// loaded.
func kept(t testing.TB, s *filestore.Store, id string) (versions []uint64) {
	t.Helper()
	infos, err := s.History(ctx, id)
	require.NoError(t, err)
	for _, i := range infos {
		require.NoError(t, i.Err)
		got, err := s.LoadVersion(ctx, id, i.Version)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i.Version), string(got.Data))
		versions = append(versions, i.Version)
	}
	return versions
}

func downFrom(newest uint64, n int) (versions []uint64) {
	for i := range n {
		versions = append(versions, newest-uint64(i))
	}
	return versions
}

// ten returns a directory in which a program that keeps ten generations has saved
// "a" and "b" twelve times each.
func ten(t testing.TB) string {
	dir := t.TempDir()
	s := openKeeping(t, dir, 10)
	for v := range uint64(12) {
		save(t, s, "a", 1, v+1, fmt.Sprint(v+1))
		save(t, s, "b", 1, v+1, fmt.Sprint(v+1))
	}
	require.NoError(t, s.Close())
	return dir
}

func TestWhoeverOpensADirectoryShowsAllThereIs(t *testing.T) {
	dir := ten(t)
	for _, keep := range []int{1, 3, 10, 100} {
		s := openKeeping(t, dir, keep)
		for _, id := range []string{"a", "b"} {
			require.Equal(t, downFrom(12, 10), kept(t, s, id), keep)
		}
		require.NoError(t, s.Close())
	}
}

func TestNobodyTrimsWhatAnotherKeeps(t *testing.T) {
	preserving := store.Preserve(ctx)
	for what, do := range map[string]func(t *testing.T, s *filestore.Store){
		"a lease is taken and released": func(t *testing.T, s *filestore.Store) {
			l, err := s.AcquireLease(ctx, "l", "x", 1e9, 1)
			require.NoError(t, err)
			_, err = s.ReleaseLease(ctx, l)
			require.NoError(t, err)
		},
		"another component is saved": func(t *testing.T, s *filestore.Store) {
			for v := range uint64(50) {
				save(t, s, "other", 1, v+1, fmt.Sprint(v+1))
			}
			require.Equal(t, downFrom(50, 1), kept(t, s, "other"))
		},
		"another component is deleted": func(t *testing.T, s *filestore.Store) {
			save(t, s, "other", 1, 1, "1")
			require.NoError(t, s.Delete(ctx, "other"))
		},
		"it is claimed":   func(t *testing.T, s *filestore.Store) { require.NoError(t, s.Claim(ctx, "a", 2)) },
		"it is refreshed": func(t *testing.T, s *filestore.Store) { save(t, s, "a", 1, 12, "12") },
		"a tool saves it": func(t *testing.T, s *filestore.Store) {
			for v := range uint64(40) {
				require.NoError(t, s.Save(preserving, "b", snap(1, v+13, fmt.Sprint(v+13))))
			}
			require.Equal(t, downFrom(52, 50), kept(t, s, "b"))
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := ten(t)
			s := openKeeping(t, dir, 1)
			do(t, s)
			require.NoError(t, s.Close())
			after := openKeeping(t, dir, 10)
			require.Equal(t, downFrom(12, 10), kept(t, after, "a"))
			require.GreaterOrEqual(t, len(kept(t, after, "b")), 10)
		})
	}
}

// Two programs in one directory, each open while the other saves.
func TestProgramsOfDifferentKeepLeaveEachOtherAlone(t *testing.T) {
	dir := t.TempDir()
	much, little := openKeeping(t, dir, 10), openKeeping(t, dir, 2)
	for v := range uint64(40) {
		save(t, much, "much", 1, v+1, fmt.Sprint(v+1))
		save(t, little, "little", 1, v+1, fmt.Sprint(v+1))
	}
	require.NoError(t, much.Close())
	require.NoError(t, little.Close())
	s := openKeeping(t, dir, 1)
	require.GreaterOrEqual(t, len(kept(t, s, "much")), 10)
	require.NoError(t, s.Close())
	s = openKeeping(t, dir, 2)
	save(t, s, "little", 1, 41, "41")
	require.Equal(t, downFrom(41, 2), kept(t, s, "little"))
	require.NoError(t, s.Close())
	require.Equal(t, downFrom(40, 10), kept(t, openKeeping(t, dir, 1), "much")[:10])
}

// The last owner decides, component by component, with its next save.
func TestAnOwnerThatKeepsLessTrimsWithItsNextSave(t *testing.T) {
	dir := ten(t)
	s := openKeeping(t, dir, 3)
	save(t, s, "a", 1, 13, "13")
	require.Equal(t, downFrom(13, 3), kept(t, s, "a"))
	require.Equal(t, downFrom(12, 10), kept(t, s, "b"), "it was not saved")
	require.NoError(t, s.Close())
	s = openKeeping(t, dir, 10)
	require.Equal(t, downFrom(13, 3), kept(t, s, "a"))
	require.Equal(t, downFrom(12, 10), kept(t, s, "b"))
	for v := range uint64(12) {
		save(t, s, "a", 1, v+14, fmt.Sprint(v+14))
	}
	require.Equal(t, downFrom(25, 10), kept(t, s, "a"), "it keeps more again")
}

// What a tool adds to the component of a running owner is on top of what that keeps.
func TestAToolBesideItsOwnerCostsNoGeneration(t *testing.T) {
	dir := ten(t)
	owner := openKeeping(t, dir, 10)
	save(t, owner, "a", 1, 13, "13")
	tool := openKeeping(t, dir, 1)
	require.NoError(t, tool.Save(store.Preserve(ctx), "a", snap(1, 14, "14")))
	require.NoError(t, tool.Close())
	save(t, owner, "b", 1, 13, "13")
	require.Equal(t, downFrom(14, 11), kept(t, owner, "a"))
	save(t, owner, "a", 1, 15, "15")
	require.Equal(t, downFrom(15, 10), kept(t, owner, "a"))
}

// The room that is not needed comes back all the same.
func TestAnOwnersDirectoryStaysAsSmallAsWhatItKeeps(t *testing.T) {
	dir := t.TempDir()
	for run := range 5 {
		s := openKeeping(t, dir, 3)
		for v := range uint64(50) {
			n := uint64(run*50) + v + 1
			save(t, s, "a", 1, n, fmt.Sprint(n))
		}
		require.NoError(t, s.Close())
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Less(t, len(entries), 12)
	}
}

// Compaction moves what there is, whoever does it.
func TestCompactionByAnotherLosesNoGeneration(t *testing.T) {
	dir := ten(t)
	s, err := filestore.Open(dir, filestore.Options{Keep: 1, CleanEvery: 1, Serial: true, Compact: filestore.Compaction{Files: 1, Merge: 2}})
	require.NoError(t, err)
	for v := range uint64(20) {
		save(t, s, "other", 1, v+1, fmt.Sprint(v+1))
	}
	require.NoError(t, s.Close())
	require.Less(t, len(commits(t, dir)), 10, "it was compacted")
	after := openKeeping(t, dir, 1)
	require.Equal(t, downFrom(12, 10), kept(t, after, "a"))
	require.Equal(t, downFrom(12, 10), kept(t, after, "b"))
}
