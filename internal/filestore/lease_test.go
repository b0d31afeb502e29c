package filestore_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/trial"
)

func TestLeaseIsHeldUntilReleaseOrExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, b := open(t, dir), open(t, dir)
		_, err := a.LoadLease(ctx, "sys")
		require.ErrorIs(t, err, store.ErrNotFound)
		l, err := a.AcquireLease(ctx, "sys", "a", time.Minute, 1)
		require.NoError(t, err)
		_, err = b.AcquireLease(ctx, "sys", "b", time.Minute, 1)
		require.ErrorIs(t, err, store.ErrLeaseHeld)
		time.Sleep(40 * time.Second)
		l, err = a.RenewLease(ctx, l)
		require.NoError(t, err)
		time.Sleep(40 * time.Second)
		_, err = b.AcquireLease(ctx, "sys", "b", time.Minute, 1)
		require.ErrorIs(t, err, store.ErrLeaseHeld, "it was renewed")
		time.Sleep(21 * time.Second)
		lb, err := b.AcquireLease(ctx, "sys", "b", time.Minute, 1)
		require.NoError(t, err, "a held lock does not outlast Expires")
		require.Greater(t, lb.Epoch, l.Epoch)
		_, err = a.RenewLease(ctx, l)
		require.ErrorIs(t, err, store.ErrFenced)
		_, err = a.ReleaseLease(ctx, l)
		require.ErrorIs(t, err, store.ErrFenced)
		lb, err = b.ReleaseLease(ctx, lb)
		require.NoError(t, err)
		require.True(t, lb.Released)
		_, err = b.RenewLease(ctx, lb)
		require.ErrorIs(t, err, store.ErrFenced, "a late renewal must not revive it")
		seen, err := a.LoadLease(ctx, "sys")
		require.NoError(t, err)
		require.True(t, seen.Released)
		require.Equal(t, "b", seen.Holder)
		_, err = a.AcquireLease(ctx, "sys", "a", time.Minute, 1)
		require.NoError(t, err)
	})
}

func TestHolderTakesItsOwnLeaseBackAtOnce(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	l1, err := a.AcquireLease(ctx, "", "pod-0", time.Hour, 1)
	require.NoError(t, err)
	l2, err := b.AcquireLease(ctx, "", "pod-0", time.Hour, 1)
	require.NoError(t, err)
	require.Greater(t, l2.Epoch, l1.Epoch)
	l3, err := b.AcquireLease(ctx, "", "pod-0", time.Hour, l2.Epoch+100)
	require.NoError(t, err)
	require.GreaterOrEqual(t, l3.Epoch, l2.Epoch+100)
}

func TestLeaseOfAClosedStoreIsOverAtOnce(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	_, err := a.AcquireLease(ctx, "sys", "a", time.Hour, 1)
	require.NoError(t, err)
	require.NoError(t, a.Close())
	_, err = b.AcquireLease(ctx, "sys", "b", time.Hour, 1)
	require.NoError(t, err)
	require.NoError(t, b.Close())
	require.Empty(t, list(t, dir, "l-"), "nobody holds them")
}

func TestLostLeaseRecordIsWrittenAgainByItsHolder(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	l, err := a.AcquireLease(ctx, "sys", "a", time.Hour, 1)
	require.NoError(t, err)
	require.NoError(t, os.Remove(newest(t, dir)))
	b := open(t, dir)
	renewed, err := b.RenewLease(ctx, l)
	require.NoError(t, err)
	require.Equal(t, l.Epoch, renewed.Epoch)
	seen, err := open(t, dir).LoadLease(ctx, "sys")
	require.NoError(t, err)
	require.Equal(t, l.Epoch, seen.Epoch)
}

func TestDamagedLeaseRecordIsReportedAndCanBeTaken(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	l, err := a.AcquireLease(ctx, "sys", "a", time.Hour, 1)
	require.NoError(t, err)
	require.NoError(t, a.Close())
	rot(t, newest(t, dir))
	b := open(t, dir)
	_, err = b.LoadLease(ctx, "sys")
	require.ErrorIs(t, err, store.ErrCorrupt)
	n, err := b.AcquireLease(ctx, "sys", "b", time.Hour, 1)
	require.NoError(t, err)
	require.Greater(t, n.Epoch, l.Epoch)
}

func TestOnlyOneOfManyGetsTheLease(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		stores := []*filestore.Store{open(t, dir), open(t, dir)}
		var mu sync.Mutex
		var won []*store.Lease
		var wg sync.WaitGroup
		for i := range 6 { // three callers of each store
			wg.Go(func() {
				l, err := stores[i%2].AcquireLease(ctx, "sys", fmt.Sprint(i), time.Hour, 1)
				if err != nil {
					require.ErrorIs(t, err, store.ErrLeaseHeld)
					return
				}
				mu.Lock()
				won = append(won, l)
				mu.Unlock()
			})
		}
		wg.Wait()
		require.Len(t, won, 1)
	}
}

func TestLeaseNamesBecomeFileNamesOneToOne(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	names := []string{"", "a", "A", "=61", "a/b", "..", "ä", "con", strings.Repeat("x", 200), strings.Repeat("x", 201), strings.Repeat("Ü", 100)}
	for i, n := range names {
		_, err := s.AcquireLease(ctx, n, fmt.Sprint(i), time.Hour, 1)
		require.NoError(t, err, n)
	}
	files := list(t, dir, "l-")
	require.Len(t, files, len(names))
	for _, f := range files {
		require.Equal(t, strings.ToLower(f), f)
		require.Less(t, len(f), 200)
	}
	for i, n := range names {
		l, err := s.LoadLease(ctx, n)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), l.Holder)
	}
}

// The child processes of these tests are this test binary again.
func TestMain(m *testing.M) {
	if job := os.Getenv("FILESTORE_CHILD"); job != "" {
		child(job, os.Getenv("FILESTORE_DIR"))
		return
	}
	os.Exit(trial.Main(m))
}

func child(job, dir string) {
	s, err := filestore.Open(dir, filestore.Options{Keep: 3})
	must(err)
	switch job {
	case "hold": // takes the lease, claims, saves once, and once more when told
		l, err := s.AcquireLease(ctx, "sys", "child", time.Second, 1)
		must(err)
		must(s.Claim(ctx, "c", l.Epoch))
		must(s.Save(ctx, "c", snap(l.Epoch, 1, "child")))
		fmt.Println(l.Epoch)
		bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Println(s.Save(ctx, "c", snap(l.Epoch, 2, "late")))
	case "save": // saves for ever and says what was acknowledged
		f, err := s.Fence(ctx, "c")
		must(err)
		for v := f.Version + 1; ; v++ {
			must(s.Save(ctx, "c", snap(1, v, strings.Repeat(fmt.Sprintf("%d,", v), 500))))
			os.Stdout.WriteString(strconv.FormatUint(v, 10) + "\n")
		}
	}
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
}

type process struct {
	*exec.Cmd
	in  *os.File
	out *bufio.Scanner
}

func start(t *testing.T, job, dir string) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &process{Cmd: exec.Command(exe)}
	p.Env = append(os.Environ(), "FILESTORE_CHILD="+job, "FILESTORE_DIR="+dir)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	p.Stdin, p.in = r, w
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	p.out = bufio.NewScanner(out)
	require.NoError(t, p.Start())
	r.Close()
	t.Cleanup(func() { p.Process.Kill(); p.Wait(); w.Close() })
	return p
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	require.True(t, p.out.Scan(), "the child ended")
	return p.out.Text()
}

func TestLeaseOfAKilledProcessIsOverAtOnce(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "hold", dir)
	p.line(t)
	s := open(t, dir)
	asked, gone := store.AskHolder(ctx)
	_, err := s.LoadLease(asked, "sys")
	require.NoError(t, err)
	require.False(t, *gone)
	require.NoError(t, p.Process.Kill())
	p.Wait()
	held, err := s.LoadLease(asked, "sys")
	require.NoError(t, err)
	require.False(t, held.Released)
	require.True(t, *gone)
	l, err := s.AcquireLease(ctx, "sys", "me", time.Hour, 1)
	require.NoError(t, err)
	require.Greater(t, l.Epoch, held.Epoch)
	_, err = s.LoadLease(asked, "sys")
	require.NoError(t, err)
	require.False(t, *gone, "there is another holder")
}

func TestKilledWriterLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	for range 12 {
		p := start(t, "save", dir)
		var acked uint64
		for range 20 {
			v, err := strconv.ParseUint(p.line(t), 10, 64)
			require.NoError(t, err)
			acked = v
		}
		require.NoError(t, p.Process.Kill())
		for p.out.Scan() {
			acked, _ = strconv.ParseUint(p.out.Text(), 10, 64)
		}
		p.Wait()
		s := open(t, dir)
		data, version, last := loaded(t, s, "c")
		require.GreaterOrEqual(t, version, acked)
		require.Equal(t, version, last)
		require.Equal(t, strings.Repeat(fmt.Sprintf("%d,", version), 500), data)
		require.NoError(t, s.Close())
	}
}
