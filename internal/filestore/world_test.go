package filestore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// The directory belongs to the world as well: people move, remove and exchange it,
// and what is in it, while a program has it open.

// replaced are ways in which path stops leading to the directory that is open.
var replaced = map[string]func(t *testing.T, path string){
	"moved":   func(t *testing.T, path string) { require.NoError(t, os.Rename(path, path+".old")) },
	"removed": func(t *testing.T, path string) { require.NoError(t, os.RemoveAll(path)) },
	"moved and made again": func(t *testing.T, path string) {
		require.NoError(t, os.Rename(path, path+".old"))
		require.NoError(t, os.Mkdir(path, 0o700))
	},
	"removed and made again": func(t *testing.T, path string) {
		require.NoError(t, os.RemoveAll(path))
		require.NoError(t, os.Mkdir(path, 0o700))
	},
	"exchanged for a file": func(t *testing.T, path string) {
		require.NoError(t, os.Rename(path, path+".old"))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	},
	"below a file": func(t *testing.T, path string) {
		above := filepath.Dir(path)
		require.NoError(t, os.Rename(above, above+".old"))
		require.NoError(t, os.WriteFile(above, nil, 0o600))
	},
}

func TestNothingIsAcknowledgedInADirectoryThatIsNotInItsPlace(t *testing.T) {
	for how, do := range replaced {
		t.Run(how, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "volume", "state")
			s, standby := open(t, path), open(t, path)
			save(t, s, "c", 1, 1, "one")
			l, err := s.AcquireLease(ctx, "l", "a", time.Hour, 1)
			require.NoError(t, err)
			do(t, path)
			for what, err := range map[string]error{
				"save":    s.Save(ctx, "c", snap(1, 2, "two")),
				"another": s.Save(ctx, "d", snap(1, 1, "one")),
				"repeat":  s.Save(ctx, "c", snap(1, 1, "one")),
				"claim":   s.Claim(ctx, "c", 9),
				"delete":  s.Delete(ctx, "c"),
				"renew":   func() error { _, err := s.RenewLease(ctx, l); return err }(),
				"load":    func() error { _, err := s.Load(ctx, "c"); return err }(),
				"ask":     func() error { _, err := standby.AcquireLease(ctx, "l", "b", time.Hour, 1); return err }(),
			} {
				require.ErrorIs(t, err, vfs.ErrMoved, what)
				require.ErrorIs(t, err, store.ErrPermanent, what)
				require.ErrorContains(t, err, path, what)
			}
		})
	}
}

func TestASymbolicLinkThatLeadsElsewhereIsNoticed(t *testing.T) {
	root := t.TempDir()
	link := filepath.Join(root, "current")
	for _, name := range []string{"v1", "v2"} {
		require.NoError(t, os.Mkdir(filepath.Join(root, name), 0o700))
	}
	require.NoError(t, os.Symlink("v1", link))
	s := open(t, link)
	save(t, s, "c", 1, 1, "one")
	require.NoError(t, os.Remove(link))
	require.NoError(t, os.Symlink("v2", link))
	require.ErrorIs(t, s.Save(ctx, "c", snap(1, 2, "two")), vfs.ErrMoved)
	require.NoError(t, os.Remove(link))
	require.NoError(t, os.Symlink("v1", link))
	save(t, s, "c", 1, 2, "two")
	data, _, _ := loaded(t, open(t, link), "c")
	require.Equal(t, "two", data)
}

func TestADirectoryThatIsPutBackIsUsedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := open(t, path)
	save(t, s, "c", 1, 1, "one")
	require.NoError(t, os.Rename(path, path+".old"))
	require.ErrorIs(t, s.Save(ctx, "c", snap(1, 2, "two")), vfs.ErrMoved)
	require.NoError(t, os.Rename(path+".old", path))
	save(t, s, "c", 1, 2, "two")
}

// Two stores whose lock files are not the same one keep nobody off.
func TestALockFileThatWasReplacedIsNotRelied(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	for v := range uint64(3) {
		save(t, a, "c", 1, v+1, "of a")
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "LOCK")))
	b, err := filestore.Open(dir, filestore.Options{Keep: 1, CleanEvery: 1, Serial: true})
	require.NoError(t, err)
	for v := range uint64(20) { // deletes the numbers that a would use next
		save(t, b, "c", 2, 4+v, "of b")
	}
	require.NoError(t, b.Close())
	save(t, a, "d", 1, 1, "acknowledged")
	require.ErrorIs(t, a.Save(ctx, "c", snap(1, 4, "late")), store.ErrFenced)
	data, _, _ := loaded(t, open(t, dir), "d")
	require.Equal(t, "acknowledged", data)
	data, _, _ = loaded(t, open(t, dir), "c")
	require.Equal(t, "of b", data)
}

func TestALeaseFileThatWasRemovedIsMadeAgainByItsHolder(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	l, err := a.AcquireLease(ctx, "l", "a", time.Hour, 1)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, list(t, dir, "l-")[0])))
	_, err = a.RenewLease(ctx, l)
	require.NoError(t, err)
	_, err = b.AcquireLease(ctx, "l", "b", time.Hour, 1)
	require.ErrorIs(t, err, store.ErrLeaseHeld, "its holder lives")
}

// Who waits for a lease only asks: what the owner supersedes is deleted meanwhile.
func TestAStandbyDoesNotKeepTheOwnerFromDeleting(t *testing.T) {
	for _, former := range []bool{false, true} {
		t.Run(fmt.Sprint("was an owner itself: ", former), func(t *testing.T) {
			dir := t.TempDir()
			standby, owner := open(t, dir), open(t, dir)
			if former {
				l, err := standby.AcquireLease(ctx, "l", "standby", time.Nanosecond, 1)
				require.NoError(t, err)
				save(t, standby, "c", 1, 1, "before")
				defer func() {
					_, err := standby.RenewLease(ctx, l)
					require.ErrorIs(t, err, store.ErrFenced)
				}()
			}
			_, err := owner.AcquireLease(ctx, "l", "owner", time.Hour, 1)
			require.NoError(t, err)
			for v := range uint64(400) {
				if v%40 == 0 {
					_, err := standby.AcquireLease(ctx, "l", "standby", time.Hour, 1)
					require.ErrorIs(t, err, store.ErrLeaseHeld)
				}
				save(t, owner, "c", 2, v+2, "state")
			}
			require.NoError(t, owner.Close())
			require.LessOrEqual(t, len(commits(t, dir)), 40)
			_, err = standby.AcquireLease(ctx, "l", "standby", time.Hour, 1)
			require.NoError(t, err)
			data, version, _ := loaded(t, standby, "c")
			require.Equal(t, [2]any{"state", uint64(401)}, [2]any{data, version})
			save(t, standby, "c", 3, 402, "after")
		})
	}
}

// A predecessor that was superseded has no use for the writers' lock any more.
func TestAPredecessorDoesNotKeepItsSuccessorFromDeleting(t *testing.T) {
	dir := t.TempDir()
	old, next := open(t, dir), open(t, dir)
	l, err := old.AcquireLease(ctx, "l", "old", time.Nanosecond, 1)
	require.NoError(t, err)
	save(t, old, "c", 1, 1, "old")
	_, err = next.AcquireLease(ctx, "l", "next", time.Hour, 1)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err = old.RenewLease(ctx, l)
		require.ErrorIs(t, err, store.ErrFenced)
		before := len(commits(t, dir))
		for v := range uint64(100) {
			f, err := next.Fence(ctx, "c")
			require.NoError(t, err)
			save(t, next, "c", 2, f.Version+1, fmt.Sprint(v))
		}
		return len(commits(t, dir)) < before+90
	}, time.Minute, time.Millisecond)
}

// What is acknowledged without the FORMAT file is in a directory that does not open.
func TestAFormatFileThatWasRemovedIsWrittenAgainBeforeTheNextSave(t *testing.T) {
	for what, names := range map[string][]string{"it alone": {"FORMAT"}, "all but the lock": {"FORMAT", "c-*", "l-*"}, "all": {"*"}} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			save(t, s, "c", 1, 1, "one")
			l, err := s.AcquireLease(ctx, "l", "a", time.Hour, 1)
			require.NoError(t, err)
			for _, name := range names {
				found, err := filepath.Glob(filepath.Join(dir, name))
				require.NoError(t, err)
				for _, path := range found {
					require.NoError(t, os.Remove(path))
				}
			}
			_, err = s.RenewLease(ctx, l)
			require.NoError(t, err)
			save(t, s, "c", 1, 2, "two")
			data, _, _ := loaded(t, open(t, dir), "c")
			require.Equal(t, "two", data)
		})
	}
}

// The files of another store came into the directory, as from a backup.
func TestTheFilesOfAnotherStoreAreNotWrittenTo(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	s, theirs := open(t, dir), open(t, other)
	save(t, s, "c", 1, 1, "mine")
	for v := range uint64(9) {
		save(t, theirs, "d", 1, v+1, "theirs")
	}
	require.NoError(t, theirs.Close())
	for _, name := range list(t, dir, "") {
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
	}
	require.NoError(t, os.CopyFS(dir, os.DirFS(other)))
	err := s.Save(ctx, "c", snap(1, 2, "mine"))
	require.ErrorIs(t, err, vfs.ErrMoved)
	require.ErrorIs(t, err, store.ErrPermanent)
	data, _, _ := loaded(t, open(t, dir), "d")
	require.Equal(t, "theirs", data)
}
