package powercut_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/trial"
)

// Processes that want the same directory at the same time.

const wanted = "wanted" // the component

// contend saves version after version of one component, in competition with
// others, until somebody with a greater epoch has claimed it.
func (j job) contend() error {
	a, err := durable.NewFileAdapter(j.Dir, nil)
	if err != nil {
		return err
	}
	next := uint64(1)
	tell("open")
	for n := 1; ; n++ {
		s := &durable.Snapshot{Epoch: j.Seed, Version: next, WriteID: fmt.Sprintf("p%dn%d", j.Boot, n), Codec: "binary"}
		s.Data = contended(next, s.WriteID)
		err := a.SaveState(ctx, wanted, s)
		var refused *durable.Error
		switch {
		case err == nil:
			tell("won %d %s", next, s.WriteID)
			next++
		case errors.Is(err, durable.ErrConflict) && errors.As(err, &refused):
			next = refused.Version + 1
		case errors.Is(err, durable.ErrFenced):
			tell("fenced")
			return a.Close()
		default:
			return err
		}
	}
}

func contended(version uint64, writeID string) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("%d by %s\n", version, writeID), 100))
}

// contest is what is known from outside about the processes that contend.
type contest struct {
	t    *trial.Trial
	dir  string
	won  map[uint64]string // who was told to have saved the version
	last uint64
	boot int
}

func newContest(t *testing.T) *contest {
	return &contest{t: trial.Begin(t), dir: t.TempDir(), won: map[uint64]string{}}
}

func (c *contest) start(epoch uint64) *process {
	c.boot++
	return start(c.t, job{Do: "contend", Dir: c.dir, Boot: c.boot, Seed: epoch})
}

func (c *contest) take(line string) {
	c.t.Helper()
	var version uint64
	var who string
	if _, err := fmt.Sscanf(line, "won %d %s", &version, &who); err != nil {
		require.Contains(c.t, []string{"open", "fenced"}, line)
		return
	}
	require.Empty(c.t, c.won[version], "version %d was acknowledged twice", version)
	c.won[version] = who
	c.last = max(c.last, version)
}

// check wants the last acknowledged version or a later one, whole.
func (c *contest) check(a *durable.FileAdapter) *durable.Snapshot {
	c.t.Helper()
	s, err := a.LoadState(ctx, wanted)
	require.NoError(c.t, err)
	require.GreaterOrEqual(c.t, s.Version, c.last)
	require.Equal(c.t, s.LastVersion, s.Version)
	require.Equal(c.t, string(contended(s.Version, s.WriteID)), string(s.Data))
	if who := c.won[s.Version]; who != "" {
		require.Equal(c.t, who, s.WriteID)
	}
	return s
}

func (c *contest) open() *durable.FileAdapter {
	c.t.Helper()
	a, err := durable.NewFileAdapter(c.dir, nil)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = a.Close() })
	return a
}

func TestCrash_two_processes_and_kills_one_winner_per_version(t *testing.T) {
	c := newContest(t)
	reader, random := c.open(), c.t.Random
	both := [2]*process{c.start(1), c.start(1)}
	kills := number(t, "DURABLE_CRASH_KILLS", 20, 60) / 4
	for range kills {
		for range 2 + random.IntN(40) { // the first is that it opened the directory
			c.take(both[0].must())
			c.take(both[1].must())
		}
		victim := random.IntN(2)
		both[victim].kill()
		for _, line := range both[victim].lines() {
			c.take(line)
		}
		c.check(reader)
		both[victim] = c.start(1)
	}
	for _, p := range both {
		p.kill()
		for _, line := range p.lines() {
			c.take(line)
		}
	}
	c.check(c.open())
	c.check(reader)
	t.Logf("crash: kills, two processes on one directory: kills=%d acknowledged=%d lost=0 torn=0 mixed=0", kills, len(c.won))
}

// Whoever sleeps in the middle of a save, or while it holds the lock for
// deleting, must not harm what a successor saved meanwhile.
func TestCrash_stopped_process_is_fenced_when_it_goes_on(t *testing.T) {
	c := newContest(t)
	random := c.t.Random
	rounds := number(t, "DURABLE_CRASH_KILLS", 12, 40) / 4
	waited := 0
	for epoch := uint64(1); epoch <= 2*uint64(rounds); epoch += 2 {
		p := c.start(epoch)
		for range 1 + random.IntN(100) { // it deletes after every 32 saves
			c.take(p.must())
		}
		time.Sleep(time.Duration(random.IntN(int(2 * time.Millisecond))))
		p.freeze()
		a := c.open()
		version, slept := c.takeOver(a, epoch+1, 300*time.Millisecond)
		if slept {
			waited++
			p.signal(syscall.SIGCONT)
			version, slept = c.takeOver(a, epoch+1, time.Minute)
			require.False(t, slept)
		} else {
			p.signal(syscall.SIGCONT)
		}
		for _, line := range p.lines() {
			c.take(line)
		}
		require.NoError(t, p.cmd.Wait(), "%s", &p.stderr)
		require.Less(t, c.last, version, "a save after the take-over was acknowledged")
		s := c.check(a)
		require.Equal(t, version, s.Version)
		require.Equal(t, epoch+1, s.Epoch)
		require.NoError(t, a.Close())
		c.last = version
	}
	t.Logf("crash: stops, process frozen while it saves and succeeded: stops=%d acknowledged=%d lost=0 torn=0 mixed=0 waited_for_the_sleeper=%d", rounds, len(c.won), waited)
}

// takeOver claims the component and saves once. It may have to wait for a
// sleeper that holds the lock for deleting; then it says so in time.
func (c *contest) takeOver(a *durable.FileAdapter, epoch uint64, patience time.Duration) (version uint64, sleeps bool) {
	c.t.Helper()
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := a.ClaimState(short, wanted, epoch)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, true
	}
	require.NoError(c.t, err)
	old, err := a.LoadState(ctx, wanted)
	if errors.Is(err, durable.ErrNotFound) && c.last == 0 {
		old, err = &durable.Snapshot{}, nil
	}
	require.NoError(c.t, err)
	require.GreaterOrEqual(c.t, old.LastVersion, c.last)
	s := &durable.Snapshot{Epoch: epoch, Version: old.LastVersion + 1, WriteID: "successor", Codec: "binary"}
	s.Data = contended(s.Version, s.WriteID)
	require.NoError(c.t, a.SaveState(ctx, wanted, s))
	return s.Version, false
}
