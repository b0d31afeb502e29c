package crashfs_test

import (
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/vfs"
	"github.com/durablestate/durable/internal/vfs/crashfs"
)

// write makes a file without syncing anything.
func write(t *testing.T, d vfs.Dir, name, content string) vfs.File {
	t.Helper()
	f, err := d.Create(name)
	require.NoError(t, err)
	_, err = f.Write([]byte(content))
	require.NoError(t, err)
	return f
}

// durable makes a file that survives everything.
func durable(t *testing.T, d vfs.Dir, name, content string) {
	t.Helper()
	require.NoError(t, write(t, d, name, content).Sync())
	require.NoError(t, d.Sync())
}

// after returns, as text, all states in which a crash may leave the disk now.
func after(t *testing.T, d *crashfs.Disk) (states []string) {
	t.Helper()
	end := d.Position() - 1
	d.Replay(func(pos int, _ any, s *crashfs.State) bool {
		if pos < end {
			return true
		}
		for img := range s.Crashes(rand.New(rand.NewPCG(1, 1)), 1<<16) {
			states = append(states, text(img))
		}
		return true
	})
	slices.Sort(states)
	return slices.Compact(states)
}

func text(img *crashfs.Image) string {
	var files []string
	for _, name := range img.Names() {
		b, _ := img.File(name)
		files = append(files, name+"="+strings.ReplaceAll(string(b), "\x00", "0"))
	}
	return strings.Join(files, " ")
}

func TestUnsyncedFileMayVanishOrBeTorn(t *testing.T) {
	d := crashfs.New()
	write(t, d.Open(), "f", "new")
	require.Equal(t, []string{"", "f=", "f=000", "f=new"}, after(t, d))
}

func TestSyncedContentSurvivesOnlyUnderADurableName(t *testing.T) {
	d := crashfs.New()
	p := d.Open()
	f := write(t, p, "f", "new")
	require.NoError(t, f.Sync())
	require.Equal(t, []string{"", "f=new"}, after(t, d))
	require.NoError(t, p.Sync())
	require.Equal(t, []string{"f=new"}, after(t, d))
}

func TestSyncOfTheDirectoryDoesNotSyncContent(t *testing.T) {
	d := crashfs.New()
	p := d.Open()
	write(t, p, "f", "new")
	require.NoError(t, p.Sync())
	require.Equal(t, []string{"f=", "f=000", "f=new"}, after(t, d))
}

func TestSectorsAreTornApart(t *testing.T) {
	d := crashfs.New()
	p := d.Open()
	write(t, p, "f", strings.Repeat("a", 512)+"b")
	require.NoError(t, p.Sync())
	var short []string
	for _, s := range after(t, d) {
		short = append(short, strings.NewReplacer(strings.Repeat("a", 512), "A", strings.Repeat("0", 512), "O").Replace(s))
	}
	require.ElementsMatch(t, []string{"f=", "f=A", "f=O", "f=A0", "f=O0", "f=Ab", "f=Ob"}, short)
}

func TestUnsyncedRemovalMayBeUndone(t *testing.T) {
	d := crashfs.New()
	p := d.Open()
	durable(t, p, "f", "x")
	durable(t, p, "g", "y")
	require.NoError(t, p.Remove("f"))
	require.NoError(t, p.Remove("g"))
	require.Equal(t, []string{"", "f=x", "f=x g=y", "g=y"}, after(t, d))
	require.NoError(t, p.Sync())
	require.Equal(t, []string{""}, after(t, d))
}

func TestRenamedFileHasTheOldNameTheNewOneOrBoth(t *testing.T) {
	d := crashfs.New()
	p := d.Open()
	durable(t, p, "old", "x")
	require.NoError(t, p.Publish("old", "new"))
	require.Equal(t, []string{"new=x", "new=x old=x", "old=x"}, after(t, d))
	require.NoError(t, p.Sync())
	require.Equal(t, []string{"new=x"}, after(t, d))
}

func TestFailedSyncForgetsWhatItShouldHaveWritten(t *testing.T) {
	d := crashfs.New()
	p := d.Open()
	f := write(t, p, "f", "new")
	require.NoError(t, p.Sync())
	fail := func(op crashfs.Op) crashfs.Fault {
		if op.Kind == "sync" || op.Kind == "syncdir" {
			return crashfs.Fault{Err: syscall.EIO}
		}
		return crashfs.Fault{}
	}
	d.OnOp(fail)
	require.ErrorIs(t, f.Sync(), syscall.EIO)
	d.OnOp(nil)
	require.NoError(t, f.Sync(), "the error is told once")
	b := make([]byte, 3)
	_, err := f.ReadAt(b, 0)
	require.NoError(t, err)
	require.Equal(t, "new", string(b), "reading proves nothing")
	require.Equal(t, []string{"f=000", "f=new"}, after(t, d))

	write(t, p, "g", "")
	d.OnOp(fail)
	require.ErrorIs(t, p.Sync(), syscall.EIO)
	d.OnOp(nil)
	write(t, p, "h", "")
	require.NoError(t, p.Sync())
	require.Equal(t, []string{"f=000 g= h=", "f=000 h=", "f=new g= h=", "f=new h="}, after(t, d), "h is durable, g in doubt")
}

func TestPublishReplacesNothingAndRenameDoes(t *testing.T) {
	p := crashfs.New().Open()
	write(t, p, "a", "1")
	write(t, p, "b", "2")
	require.ErrorIs(t, p.Publish("a", "b"), fs.ErrExist)
	require.NoError(t, p.Rename("a", "b"))
	require.ErrorIs(t, p.Remove("a"), fs.ErrNotExist)
	_, err := p.Create("b")
	require.ErrorIs(t, err, fs.ErrExist)
	names, err := p.List()
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, names)
}

func TestLocksBelongToTheFileAndEndWithTheProcess(t *testing.T) {
	d := crashfs.New()
	p, q := d.Open(), d.Open()
	take := func(p *crashfs.Proc) (vfs.Lock, bool) {
		l, err := p.OpenLock("L", true)
		require.NoError(t, err)
		ok, err := l.Exclusive()
		require.NoError(t, err)
		return l, ok
	}
	_, ok := take(p)
	require.True(t, ok)
	l, ok := take(q)
	require.False(t, ok)
	p.Kill()
	ok, err := l.Shared()
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, q.Remove("L"))
	_, ok = take(q)
	require.True(t, ok, "another file of the same name")
	_, err = p.List()
	require.ErrorIs(t, err, crashfs.ErrKilled)
}

func TestWhatAKilledProcessDidStays(t *testing.T) {
	d := crashfs.New()
	p, q := d.Open(), d.Open()
	f := write(t, p, "f", "half")
	p.Kill()
	_, err := f.Write([]byte("more"))
	require.ErrorIs(t, err, crashfs.ErrKilled)
	require.ErrorIs(t, f.Sync(), crashfs.ErrKilled)
	size, err := q.Size("f")
	require.NoError(t, err)
	require.EqualValues(t, 4, size)
}

func TestTheSameSeedDrawsTheSameStates(t *testing.T) {
	d := crashfs.New()
	p := d.Open()
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		write(t, p, name, strings.Repeat(name, 2000))
	}
	draw := func(seed uint64) (states []string) {
		d.Replay(func(pos int, _ any, s *crashfs.State) bool {
			for img := range s.Crashes(rand.New(rand.NewPCG(seed, 1)), 20) {
				states = append(states, text(img))
			}
			return true
		})
		return states
	}
	require.Equal(t, draw(1), draw(1))
	require.NotEqual(t, draw(1), draw(2))
}
