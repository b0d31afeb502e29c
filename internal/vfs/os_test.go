package vfs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/vfs"
)

func open(t *testing.T, path string) vfs.Dir {
	t.Helper()
	d, err := vfs.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

func write(t *testing.T, d vfs.Dir, name, content string) {
	t.Helper()
	f, err := d.Create(name)
	require.NoError(t, err)
	_, err = f.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

func read(t *testing.T, d vfs.Dir, name string) string {
	t.Helper()
	f, err := d.Open(name)
	require.NoError(t, err)
	defer f.Close()
	n, err := f.Size()
	require.NoError(t, err)
	m, err := d.Size(name)
	require.NoError(t, err)
	require.Equal(t, n, m)
	b := make([]byte, n)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	return string(b)
}

func TestOpenCreatesPrivateDirectories(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "a", "b")
	d := open(t, path)
	require.NoError(t, d.Sync())
	for _, p := range []string{path, filepath.Dir(path)} {
		fi, err := os.Stat(p)
		require.NoError(t, err)
		if runtime.GOOS != "windows" {
			require.Equal(t, os.FileMode(0o700), fi.Mode().Perm())
		}
	}
	open(t, path)
}

func TestOpenRefusesWhatIsNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, path := range []string{file, filepath.Join(file, "below")} {
		_, err := vfs.Open(path)
		require.Error(t, err)
	}
}

func TestCreateNeverOpensAnExistingFile(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	write(t, d, "f", "old")
	_, err := d.Create("f")
	require.ErrorIs(t, err, fs.ErrExist)
	require.NoError(t, os.Symlink("f", filepath.Join(path, "link")))
	_, err = d.Create("link")
	require.ErrorIs(t, err, fs.ErrExist)
	require.Equal(t, "old", read(t, d, "f"))
}

func TestPublishNeverReplaces(t *testing.T) {
	d := open(t, t.TempDir())
	for name, publish := range vfs.Publishers(d) {
		write(t, d, "one", "1")
		write(t, d, "two", "2")
		require.NoError(t, publish("one", "f"), name)
		require.ErrorIs(t, publish("two", "f"), fs.ErrExist, name)
		require.Equal(t, "1", read(t, d, "f"), name)
		require.Equal(t, "2", read(t, d, "two"), name)
		require.ErrorIs(t, publish("missing", "g"), fs.ErrNotExist, name)
		require.Error(t, publish("nul\x00", "g"), name)
		require.Error(t, publish("two", "nul\x00"), name)
		list, err := d.List()
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"f", "two"}, list, name)
		require.NoError(t, d.Rename("two", "f"), "rename replaces")
		require.NoError(t, d.Remove("f"))
	}
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	write(t, d, "f", "x")
	require.NoError(t, os.Symlink("f", filepath.Join(path, "link")))
	require.NoError(t, os.Mkdir(filepath.Join(path, "dir"), 0o700))
	for _, name := range []string{"link", "dir"} {
		_, err := d.Open(name)
		require.ErrorIs(t, err, vfs.ErrNotRegular)
		_, err = d.Size(name)
		require.ErrorIs(t, err, vfs.ErrNotRegular)
	}
	_, err := d.Open("missing")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = d.Open("../" + filepath.Base(path) + "/f")
	require.Error(t, err, "names stay inside")
}

func TestLocksExcludeEachOtherAlsoWithinAProcess(t *testing.T) {
	d := open(t, t.TempDir())
	_, err := d.OpenLock("LOCK", false)
	require.ErrorIs(t, err, fs.ErrNotExist)
	lock := func() vfs.Lock {
		l, err := d.OpenLock("LOCK", true)
		require.NoError(t, err)
		t.Cleanup(func() { l.Close() })
		return l
	}
	is := func(want bool) func(bool, error) {
		return func(ok bool, err error) {
			t.Helper()
			require.NoError(t, err)
			require.Equal(t, want, ok)
		}
	}
	a, b, c := lock(), lock(), lock()
	is(true)(a.Shared())
	is(true)(b.Shared())
	is(false)(a.Exclusive())
	if a.Atomic() {
		require.NoError(t, b.Close())
		is(false)(c.Exclusive()) // a kept its shared lock although it was refused
		is(true)(a.Exclusive())
	} else {
		require.NoError(t, b.Close())
		is(true)(a.Exclusive())
	}
	is(false)(c.Shared())
	is(true)(a.Shared())
	is(true)(c.Shared())
	require.NoError(t, a.Close())
	is(true)(c.Exclusive())
	require.NoError(t, c.Close())
	_, err = c.Shared()
	require.ErrorIs(t, err, fs.ErrClosed)
}

func TestClosedDirectoryAnswersClosed(t *testing.T) {
	d := open(t, t.TempDir())
	write(t, d, "f", "x")
	require.NoError(t, d.Close())
	_, err := d.Create("g")
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = d.Open("f")
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = d.List()
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = d.OpenLock("LOCK", true)
	require.ErrorIs(t, err, fs.ErrClosed)
	require.ErrorIs(t, d.Publish("f", "g"), fs.ErrClosed)
	require.ErrorIs(t, d.Sync(), fs.ErrClosed)
}

func TestDirectoryStaysTheSameWhenItsPathIsRenamed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open directory cannot be renamed on Windows")
	}
	base := t.TempDir()
	d := open(t, filepath.Join(base, "a"))
	write(t, d, "f", "x")
	require.NoError(t, os.Rename(filepath.Join(base, "a"), filepath.Join(base, "b")))
	require.NoError(t, d.Publish("f", "g"))
	require.FileExists(t, filepath.Join(base, "b", "g"))
}
