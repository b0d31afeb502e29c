package crash_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/trial"
)

// The crash tests kill a process that changes state as fast as it can, start it
// again and compare what it restored with what it had told before: every
// acknowledged change is there, the changes are a prefix of those attempted, and
// nothing went back. DURABLE_CRASH_KILLS sets the number of kills for each store.

func TestCrash_file(t *testing.T) {
	newCrash(t, "file "+t.TempDir()).run(killCount(t, 40), nil)
}

func TestCrash_redis_server(t *testing.T) {
	server := redistest.Start(t)
	newCrash(t, "redis "+server.URL()).run(killCount(t, 40), nil)
}

func TestCrash_redis_server_that_is_killed_itself(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	newCrash(t, "redis "+server.URL()).run(killCount(t, 60)/3, server)
}

func killCount(t *testing.T, normal int) int {
	text := os.Getenv("DURABLE_CRASH_KILLS")
	switch {
	case text == "" && testing.Short():
		return normal / 4
	case text == "":
		return normal
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "DURABLE_CRASH_KILLS must be a number")
	return n
}

// crash is one crash test.
type crash struct {
	t     *trial.Trial
	store string

	lineages map[string]*lineage
	booted   bool // some child had the lease
	closed   bool // the last child that told of its start ended with Close
	unsure   bool // since then another was killed that may have taken the lease
	acks     int  // of the current child
	early    int  // kills before the child had committed anything
	orderly  int  // ends without a kill
	total    int  // acknowledged commits
	lost     int  // acknowledged changes that are gone
	dropped  int  // changes without acknowledgement that are gone
	saves    int
}

// lineage is what is known of one component from outside the store.
type lineage struct {
	hashes  []string // after each change that was attempted; hashes[0] is that of no change
	acked   int      // the state holds at least this many changes
	epoch   uint64   // of the last restore
	version uint64   // the highest known to be stored
}

func newCrash(t *testing.T, store string) *crash {
	c := &crash{t: trial.Begin(t), store: store, lineages: map[string]*lineage{}}
	for _, comp := range newComponents() {
		c.lineages[comp.id] = &lineage{hashes: []string{""}}
	}
	return c
}

// run kills children, and the server too if there is one to kill.
func (c *crash) run(kills int, server *redistest.Server) {
	for killed := 0; killed < kills && !c.t.Failed(); {
		p := c.start()
		switch n := c.t.Random.IntN(8); {
		case n == 0:
			c.end(p)
			continue
		case n <= 2 && server == nil:
			c.until(p, c.moment()/2, nil) // perhaps before it has restored
		case server != nil:
			c.until(p, 0, func() bool { return c.acks > 0 })
			c.killServer(p, server)
		default:
			c.until(p, 0, func() bool { return c.acks > 0 })
			c.until(p, c.moment(), nil)
		}
		c.kill(p)
		killed++
	}
	c.end(c.start())
	c.end(c.start()) // restores what the last Close saved
	what, _, _ := strings.Cut(c.store, " ")
	if server != nil {
		what += "-server itself"
	}
	// A torn or mixed state has failed the test before.
	c.t.Logf("crash: kills, %s: kills=%d acknowledged=%d lost=%d torn=0 mixed=0 before_a_commit=%d orderly_ends=%d saves=%d unacknowledged_lost=%d seed=%d",
		what, kills, c.total, c.lost, c.early, c.orderly, c.saves, c.dropped, c.t.Seed)
	require.Positive(c.t, c.total)
}

// moment is a random while.
func (c *crash) moment() time.Duration {
	return time.Duration(1 + c.t.Random.IntN(int(50*time.Millisecond)))
}

// killServer kills the server at a random moment and starts it again. Half of
// the times the child lives on and must commit again.
func (c *crash) killServer(p *process, server *redistest.Server) {
	c.until(p, c.moment(), nil)
	server.Kill()
	if c.t.Random.IntN(2) == 0 {
		c.kill(p)
		server.Restart()
		return
	}
	server.Restart()
	before := c.acks
	c.until(p, 0, func() bool { return c.acks > before+20 })
}

// process is a child.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	lines  chan string
	stderr *bytes.Buffer
	killed bool
}

func (c *crash) start() *process {
	p := &process{lines: make(chan string, 1024), stderr: &bytes.Buffer{}}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childEnv+"="+c.store,
		"GORACE=atexit_sleep_ms=0") // the race detector would sleep a second at each end
	p.cmd.Stderr = p.stderr
	in, err := p.cmd.StdinPipe()
	require.NoError(c.t, err)
	p.stdin = in
	out, err := p.cmd.StdoutPipe()
	require.NoError(c.t, err)
	require.NoError(c.t, p.cmd.Start())
	c.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	go func() {
		defer close(p.lines)
		r := bufio.NewReader(out)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return // a line that did not end was not told
			}
			p.lines <- line
		}
	}()
	c.acks = 0
	return p
}

const patience = time.Minute // for a child to do what it must

// until takes lines for a while, or until enough is true. The child must not end
// before.
func (c *crash) until(p *process, while time.Duration, enough func() bool) {
	c.t.Helper()
	var moment <-chan time.Time
	if while > 0 {
		moment = time.After(while)
	}
	limit := time.After(patience)
	for enough == nil || !enough() {
		select {
		case line, open := <-p.lines:
			if !open {
				_ = p.cmd.Wait()
				require.FailNow(c.t, "the child ended by itself", "%s", p.stderr)
			}
			c.take(line)
		case <-moment:
			return
		case <-limit:
			require.FailNow(c.t, "the child does nothing", "%s", p.stderr)
		}
	}
}

// kill kills the child and takes what it had told by then.
func (c *crash) kill(p *process) {
	if p.killed {
		return
	}
	p.killed = true
	require.NoError(c.t, p.cmd.Process.Kill())
	for line := range p.lines {
		c.take(line)
	}
	require.Error(c.t, p.cmd.Wait())
	if c.acks == 0 {
		c.early++
	}
	c.unsure = c.closed // it was not killed later than in Restore
}

// end lets the child come to an orderly end, after which every change is stored.
func (c *crash) end(p *process) {
	c.until(p, 0, func() bool { return c.acks > 0 })
	require.NoError(c.t, p.stdin.Close())
	for line := range p.lines {
		c.take(line)
	}
	require.NoError(c.t, p.cmd.Wait(), "%s", p.stderr)
	require.True(c.t, c.closed, "the child did not close")
	c.orderly++
	for _, l := range c.lineages {
		l.acked = len(l.hashes) - 1
	}
}

// take takes one line of the child.
func (c *crash) take(line string) {
	c.t.Helper()
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch word {
	case "boot":
		c.boot(rest)
	case "restored":
		c.restored(rest)
	case "try":
		c.try(rest)
	case "ack":
		id, seq := c.numbered(rest)
		c.acks++
		c.total++
		c.lineages[id].acked = max(c.lineages[id].acked, int(seq))
	case "saved":
		id, version := c.numbered(rest)
		require.Greater(c.t, version, c.lineages[id].version, "%s: a version was given twice", id)
		c.lineages[id].version = version
		c.saves++
	case "refused":
	case "closed":
		c.closed = true
	default:
		require.FailNow(c.t, "unknown line", line)
	}
}

func (c *crash) numbered(rest string) (id string, n uint64) {
	_, err := fmt.Sscanf(rest, "%s %d", &id, &n)
	require.NoError(c.t, err, rest)
	return id, n
}

func (c *crash) boot(rest string) {
	var clean bool
	var predecessor string
	_, err := fmt.Sscanf(rest, "%t %q", &clean, &predecessor)
	require.NoError(c.t, err, rest)
	if clean || !c.unsure {
		require.Equal(c.t, c.closed, clean, "CleanShutdown after a kill is false, and after Close true")
	}
	if c.booted {
		require.Equal(c.t, holder, predecessor)
	}
	c.booted, c.closed, c.unsure = true, false, false
}

// restored checks what a child restored against what its predecessors told.
func (c *crash) restored(rest string) {
	c.t.Helper()
	var id, outcome, hash string
	var epoch, version uint64
	var seq int
	var whole bool
	_, err := fmt.Sscanf(rest, "%s %s %d %d %d %t %q", &id, &outcome, &epoch, &version, &seq, &whole, &hash)
	require.NoError(c.t, err, rest)
	l := c.lineages[id]
	if outcome == "first-boot" {
		require.Zero(c.t, l.version, "%s: it was saved, and is unknown now", id)
		require.Zero(c.t, seq)
	} else {
		require.Equal(c.t, "restored", outcome, id)
	}
	assert.GreaterOrEqual(c.t, seq, l.acked, "%s: acknowledged changes are lost", id)
	require.Less(c.t, seq, len(l.hashes), "%s: it holds changes that nobody made", id)
	require.Equal(c.t, l.hashes[seq], hash, "%s: its changes are not the first %d", id, seq)
	require.True(c.t, whole, "%s: it is torn", id)
	require.GreaterOrEqual(c.t, version, l.version, "%s: its version went back", id)
	require.GreaterOrEqual(c.t, epoch, l.epoch, "%s: its epoch went back", id)
	c.lost += max(0, l.acked-seq)
	c.dropped += len(l.hashes) - 1 - max(seq, l.acked)
	l.hashes, l.acked, l.version, l.epoch = l.hashes[:seq+1], seq, version, epoch
}

// try notes a change before the child makes it.
func (c *crash) try(rest string) {
	var id, token string
	var seq int
	_, err := fmt.Sscanf(rest, "%s %d %s", &id, &seq, &token)
	require.NoError(c.t, err, rest)
	l := c.lineages[id]
	require.Equal(c.t, len(l.hashes), seq, "%s: changes are not in order", id)
	l.hashes = append(l.hashes, linked(l.hashes[seq-1], token))
}
