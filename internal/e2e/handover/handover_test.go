//go:build unix

package handover_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/trial"
)

// The hand-over tests replace a process that commits as fast as it can, again and
// again and in every way: told to end, killed, put to sleep and woken up after
// its successor has taken over, superseded by its own name. Old and new overlap.
// DURABLE_HANDOVERS sets the number of replacements for each store, DURABLE_SEED
// repeats the plan of a trial.

func TestHandover_file(t *testing.T) {
	newHandover(t, "file "+t.TempDir(), "", nil).mustBeSafe()
}

func TestHandover_redis_server(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	newHandover(t, "redis "+server.URL(), "", server).mustBeSafe()
}

// What these two do is what the tests above would have to notice.

func TestHandover_without_an_owner_is_found_unsafe(t *testing.T) {
	v := newHandover(t, "file "+t.TempDir(), "unowned", nil).run([]string{byTerm, byTerm})
	require.NotZero(t, v.lost+v.splits+v.back, "%+v", v)
	require.NotZero(t, v.splits, "the predecessor goes on committing beside its successor")
}

func TestHandover_with_leases_and_no_fence_is_found_unsafe(t *testing.T) {
	v := newHandover(t, "file "+t.TempDir(), "unfenced", nil).run([]string{byStop})
	require.NotZero(t, v.lost+v.splits+v.back, "%+v", v)
	require.NotZero(t, v.splits, "the predecessor wakes up and commits")
}

// plan returns the ways in which to replace a process, each as often as the
// others and in random order.
func (h *handover) plan() []string {
	n := len(allKinds)
	if text := os.Getenv("DURABLE_HANDOVERS"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(h.t, err, "DURABLE_HANDOVERS must be a number")
	}
	var list []string
	for len(list) < n {
		for _, i := range h.t.Random.Perm(len(allKinds)) {
			list = append(list, allKinds[i])
		}
	}
	return list[:n]
}

// handover is one hand-over test.
type handover struct {
	*judge
	t      *trial.Trial
	store  string
	mutant string
	server *redistest.Server // to restart in between; nil: none
	began  time.Time
	events chan event
	asleep []*process

	processes []*process
}

// event is one line of a process. The end of a process is an event too.
type event struct {
	p    *process
	line string
	at   time.Time
	end  bool
}

// process is a child.
type process struct {
	number int
	holder string
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	made   map[string]int

	ready  bool   // it waits for the lease or has it
	serves bool   // it has committed
	fenced bool   // it was told that it is superseded
	closed string // how Close ended
	ended  bool
	killed bool
}

func newHandover(t *testing.T, store, mutant string, server *redistest.Server) *handover {
	return &handover{judge: newJudge(), t: trial.Begin(t), store: store, mutant: mutant, server: server, began: time.Now(), events: make(chan event, 1024)}
}

func (h *handover) mustBeSafe() {
	kinds := h.plan()
	v := h.run(kinds)
	require.Zero(h.t, v, "%s", strings.Join(h.back, "\n"))
	require.Equal(h.t, len(kinds), h.handovers-len(h.pauses[byFalseStart]), "every successor that was to take over did, once")
	require.Positive(h.t, h.commits)
}

// run replaces a process in each of the ways and judges what is left.
func (h *handover) run(kinds []string) verdict {
	p := h.start("", "")
	h.until(func() bool { return p.serves })
	for _, kind := range kinds {
		h.serve()
		p = h.replace(p, kind)
		h.wake(len(h.asleep) > 2 || h.t.Random.IntN(2) == 0)
	}
	h.serve()
	h.wake(true)
	h.signal(p, syscall.SIGTERM)
	h.until(func() bool { return p.ended })
	if h.mutant == "" {
		require.Equal(h.t, "closed", p.closed, "%s", p.stderr)
	}
	v := h.sum(h.final())
	kind, _, _ := strings.Cut(h.store, " ")
	h.t.Log(h.table(strings.TrimSpace(kind+" "+h.mutant), v, time.Since(h.began)))
	return v
}

// serve lets the owner work for a while.
func (h *handover) serve() {
	before, end := h.commits, time.After(time.Duration(h.t.Random.IntN(int(200*time.Millisecond))))
	h.until(func() bool { return h.commits > before+50 })
	h.pass(end)
}

// moment lets a random short while pass.
func (h *handover) moment() {
	h.pass(time.After(time.Duration(h.t.Random.IntN(int(30 * time.Millisecond)))))
}

// replace starts a successor, does to old what kind says, and returns the
// successor once it has committed.
func (h *handover) replace(old *process, kind string) *process {
	holder := ""
	if kind == bySameHolder {
		holder = old.holder
	} else if h.t.Random.IntN(4) == 0 {
		h.falseStart(old)
	}
	next := h.start(holder, kind)
	if kind != bySameHolder {
		h.until(func() bool { return next.ready })
		h.moment()
	}
	h.act(old, kind)
	if h.server != nil && h.t.Random.IntN(3) == 0 {
		h.outage()
	}
	h.until(func() bool { return next.serves })
	switch kind {
	case byStop, byStopClose, byStopTerm:
		h.asleep = append(h.asleep, old)
	default:
		if h.mutant == "" { // a mutant does not know that it is superseded
			h.until(func() bool { return old.ended })
		}
	}
	return next
}

// falseStart lets a successor die before its turn. It may get a turn nevertheless:
// the lease of an owner in good health ends when the server is away for too long.
// That is a hand-over like any other, of which the owner must be told.
func (h *handover) falseStart(owner *process) {
	p := h.start("", byFalseStart)
	h.until(func() bool { return p.ready })
	h.signal(p, syscall.SIGKILL)
	h.until(func() bool { return p.ended })
	if _, took := h.records["busy"].startOf[p.number]; took && h.mutant == "" {
		h.until(func() bool { return owner.ended })
		require.True(h.t, owner.fenced, "it was not told that it is superseded: %s", owner.stderr)
		require.Equal(h.t, "refused", owner.closed, "its late changes were not refused")
	}
}

func (h *handover) act(p *process, kind string) {
	switch kind {
	case byTerm:
		h.signal(p, syscall.SIGTERM)
	case byKill:
		h.signal(p, syscall.SIGKILL)
	case byStop, byStopTerm:
		h.signal(p, syscall.SIGSTOP)
	case byStopClose:
		h.signal(p, syscall.SIGTERM)
		h.pass(time.After(time.Duration(h.t.Random.IntN(int(5 * time.Millisecond)))))
		h.signal(p, syscall.SIGSTOP)
	}
	if kind == byStopTerm {
		h.signal(p, syscall.SIGTERM) // when it wakes up
	}
}

// outage takes the server away in the middle of it all.
func (h *handover) outage() {
	h.moment()
	h.outages++
	h.server.Kill()
	h.pass(time.After(time.Duration(h.t.Random.IntN(int(300 * time.Millisecond)))))
	h.server.Restart()
}

// wake wakes who was put to sleep, now that somebody else owns the components,
// and sees that it ends. One that was at work must have been told why.
func (h *handover) wake(now bool) {
	if !now {
		return
	}
	for _, p := range h.asleep {
		h.signal(p, syscall.SIGCONT)
		if h.mutant != "" {
			h.serve() // it commits on
			h.signal(p, syscall.SIGTERM)
		}
		h.until(func() bool { return p.ended })
		if h.mutant == "" && h.kindThatReplaced(p) == byStop {
			require.True(h.t, p.fenced, "it was not told that it is superseded: %s", p.stderr)
			require.Equal(h.t, "refused", p.closed, "its late changes were not refused")
		}
	}
	h.asleep = nil
}

// kindThatReplaced returns how p lost its place.
func (h *handover) kindThatReplaced(p *process) string {
	a := h.records["busy"]
	return h.kinds[a.starts[a.startOf[p.number]+1].process]
}

// start starts a process that is to replace another one in the way kind.
func (h *handover) start(holder, kind string) *process {
	p := &process{number: len(h.processes) + 1, holder: holder, stderr: &bytes.Buffer{}, made: map[string]int{}}
	if p.holder == "" {
		p.holder = fmt.Sprintf("pod-%d", p.number)
	}
	h.kinds[p.number] = kind
	h.processes = append(h.processes, p)
	spec, err := json.Marshal(child{Store: h.store, Process: p.number, Holder: p.holder, Mutant: h.mutant})
	require.NoError(h.t, err)
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(spec), "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = p.stderr
	stdin, err := p.cmd.StdinPipe() // ends with the parent
	require.NoError(h.t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(h.t, err)
	require.NoError(h.t, p.cmd.Start())
	gone := make(chan struct{})
	h.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		for {
			select {
			case <-h.events: // nobody judges any more
			case <-gone:
				return
			}
		}
	})
	go func() {
		defer close(gone)
		r := bufio.NewReader(out)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				break // a line that did not end was not told
			}
			h.events <- event{p: p, line: line, at: time.Now()}
		}
		_ = p.cmd.Wait()
		_ = stdin.Close()
		h.events <- event{p: p, at: time.Now(), end: true}
	}()
	return p
}

func (h *handover) signal(p *process, s syscall.Signal) {
	if !p.ended {
		p.killed = p.killed || s == syscall.SIGKILL
		_ = p.cmd.Process.Signal(s) // it may have ended meanwhile
	}
}

// until takes events until enough is true.
func (h *handover) until(enough func() bool) {
	h.t.Helper()
	limit := time.After(patience)
	for !enough() {
		select {
		case e := <-h.events:
			h.take(e)
		case <-limit:
			require.FailNow(h.t, "nothing happens any more", "%s", h.alive())
		}
	}
}

// alive describes the processes that have not ended, and lets them say what
// they are doing.
func (h *handover) alive() string {
	var b strings.Builder
	for _, p := range h.processes {
		if !p.ended {
			_ = p.cmd.Process.Signal(syscall.SIGQUIT)
			h.pass(time.After(time.Second))
			fmt.Fprintf(&b, "process %d, %s: %+v\n%s\n", p.number, h.kinds[p.number], *p, p.stderr)
		}
	}
	return b.String()
}

// pass takes events until the end.
func (h *handover) pass(end <-chan time.Time) {
	for {
		select {
		case e := <-h.events:
			h.take(e)
		case <-end:
			return
		}
	}
}
