package powercut_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A job is what a child does.
type job struct {
	Do   string // one of the names in runJob
	Kind string // of saver
	Dir  string
	Seed uint64
	Boot int
}

func runJob(text string, _ []string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	switch j.Do {
	case "write":
		return j.write()
	case "contend":
		return j.contend()
	case "starve files":
		return j.starveFiles()
	case "limit file size":
		return j.limitFileSize()
	}
	return fmt.Errorf("unknown job %q", j.Do)
}

// tell writes one line to the parent in one write. Without a parent the process
// ends.
func tell(format string, args ...any) {
	if _, err := fmt.Fprintf(os.Stdout, format+"\n", args...); err != nil {
		os.Exit(1)
	}
}

// write changes all components until the power is cut or its standard input
// ends. Each change is acknowledged to the parent once it is durable.
func (j job) write() error {
	var stop sync.WaitGroup
	ended := make(chan struct{})
	stop.Go(func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	})
	s, err := openSaver(j.Kind, j.Dir)
	if err != nil {
		tell("failed open: %v", err)
		return nil
	}
	epoch, err := s.begin()
	if err != nil {
		tell("failed begin: %v", err)
		return nil
	}
	tell("began %d", epoch)
	var wg sync.WaitGroup
	for _, c := range components {
		wg.Go(func() { j.change(s, c, ended) })
	}
	wg.Wait()
	if err := s.close(); err != nil {
		tell("failed close: %v", err)
	}
	stop.Wait()
	return nil
}

// change makes one change of component after the other.
func (j job) change(s saver, component string, ended <-chan struct{}) {
	p := plan{j.Seed}
	for n := 1; ; n++ {
		select {
		case <-ended:
			return
		default:
		}
		c := change{component, j.Boot, n}
		var err error
		if p.deletes(c) {
			err = s.remove(component)
		} else {
			err = s.save(component, p.data(c))
		}
		if err != nil {
			tell("failed %s: %v", c, err)
			return
		}
		tell("ack %s %d", component, n)
	}
}

// A process is a child that runs.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
	gone   bool
}

func start(t testing.TB, j job) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(j)
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), jobEnv+"="+string(text),
		"GORACE=atexit_sleep_ms=0") // the race detector would sleep a second at each end
	p.cmd.Stderr = &p.stderr
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	// A pipe of our own: that of exec is closed by Wait with lines in it.
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	p.cmd.Stdout, p.out = w, bufio.NewReader(r)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		p.kill()
		r.Close()
	})
	return p
}

// line returns the next whole line of the child, false when it ended.
func (p *process) line() (string, bool) {
	line, err := p.out.ReadString('\n')
	if err != nil {
		return "", false // a line that did not end was not told
	}
	return line[:len(line)-1], true
}

// must returns the next line, which must be there within a minute.
func (p *process) must() string {
	p.t.Helper()
	alarm := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer alarm.Stop()
	line, ok := p.line()
	if !ok {
		p.kill()
		require.FailNow(p.t, "the child ended or hangs", "%s", &p.stderr)
	}
	return line
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// kill ends the child. What it told before can still be read.
func (p *process) kill() {
	if p.gone {
		return
	}
	p.gone = true
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.stdin.Close()
}

// freeze stops the child between two instructions, as a power cut does: it does
// not live to see its file system gone, and acknowledges nothing afterwards. A
// thread that is deep in the kernel stops when it comes out of it.
func (p *process) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	for !p.frozen() {
		runtime.Gosched()
	}
}

func (p *process) frozen() bool {
	p.t.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	for _, path := range stats {
		text, _ := os.ReadFile(path) // a thread may have ended
		_, rest, _ := bytes.Cut(text, []byte(") "))
		if len(rest) > 0 && !bytes.ContainsRune([]byte("TtDZX"), rune(rest[0])) {
			return false
		}
	}
	return true
}
