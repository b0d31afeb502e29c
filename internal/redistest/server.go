// Package redistest starts real redis-server processes for tests.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Available reports whether redis-server is in PATH.
func Available() bool {
	_, err := exec.LookPath("redis-server")
	return err == nil
}

// Require skips the test loudly where redis-server is missing, and fails it
// instead when DURABLE_REQUIRE_REAL=1.
func Require(t testing.TB) {
	t.Helper()
	if Available() {
		return
	}
	if os.Getenv("DURABLE_REQUIRE_REAL") == "1" {
		t.Fatal("needs redis-server in PATH (DURABLE_REQUIRE_REAL=1)")
	}
	t.Skip("SKIPPED: needs redis-server in PATH")
}

// Server is one redis-server process on a loopback port of its own.
type Server struct {
	Addr string // host:port, the same after Restart
	Dir  string // its working directory, kept by Restart

	t        testing.TB
	args     []string
	sentinel string // the configuration file that makes it a sentinel
	cmd      *exec.Cmd
	done     chan struct{} // closed when the process has ended
	out      *bytes.Buffer
}

// URL returns the server's redis:// URL.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Client returns a client that is closed at the end of the test.
func (s *Server) Client(t testing.TB) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Start starts a server and waits until it answers. Without arguments it
// persists nothing. extraArgs are command line options of redis-server and win
// over its defaults; "{port}" in them stands for the server's port. The process ends with the test, and with the test binary
// even when that is killed.
func Start(t testing.TB, extraArgs ...string) *Server {
	t.Helper()
	Require(t)
	dir := t.TempDir()
	var err error
	for range 5 { // a free port may be taken before the server binds it
		s := &Server{Addr: freeAddr(t), Dir: dir, t: t, args: extraArgs}
		if err = s.launch(); err == nil {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatalf("redis-server did not start: %v", err)
	return nil
}

var shared struct {
	sync.Once
	server *Server
	err    error
}

// Shared returns a server without persistence that all tests of a binary share;
// each must use key prefixes of its own. It ends with the binary.
func Shared(t testing.TB) *Server {
	t.Helper()
	Require(t)
	shared.Do(func() {
		var dir string
		if dir, shared.err = os.MkdirTemp("", "redistest"); shared.err != nil {
			return
		}
		shared.server = &Server{Addr: freeAddr(t), Dir: dir}
		shared.err = shared.server.launch()
		_ = os.Remove(dir) // empty: nothing is persisted
	})
	if shared.err != nil {
		t.Fatalf("redis-server did not start: %v", shared.err)
	}
	return shared.server
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *Server) launch() error {
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	args := append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", s.Dir, "--save", "", "--appendonly", "no",
		"--daemonize", "no", "--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"}, s.args...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{port}", port)
	}
	if s.sentinel != "" {
		args = []string{s.sentinel, "--sentinel"}
	}
	s.cmd, s.out, s.done = exec.Command("redis-server", args...), &bytes.Buffer{}, make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := startGuarded(s.cmd); err != nil {
		return err
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(s.cmd, s.done)
	return s.await()
}

// await returns once the server answers, or an error when the process ended.
func (s *Server) await() error {
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		select {
		case <-s.done:
			return fmt.Errorf("it ended: %s", s.out.String())
		case <-time.After(10 * time.Millisecond):
		}
		if s.answers() {
			return nil
		}
	}
	s.Kill()
	return fmt.Errorf("it does not answer: %s", s.out.String())
}

// answers asks without a password: even a refusal is an answer of a server that
// has loaded. A port that speaks TLS only counts once it accepts; on any other one
// silence comes from a program that took the port first.
func (s *Server) answers() bool {
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err = c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	buf := make([]byte, 64)
	n, _ := c.Read(buf)
	if n == 0 {
		return slices.Contains(s.args, "--tls-port")
	}
	return buf[0] == '+' || bytes.HasPrefix(buf, []byte("-NOAUTH")) || buf[0] == 0x15
}

// Kill ends the process with SIGKILL and waits for it. Calling it again does nothing.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Restart starts the server again on the same port and directory, after Kill if
// it still runs. More arguments are added to those of Start.
func (s *Server) Restart(extraArgs ...string) {
	s.t.Helper()
	s.Kill()
	s.args = append(s.args, extraArgs...)
	if err := s.launch(); err != nil {
		s.t.Fatalf("redis-server did not restart: %v", err)
	}
}

// PID returns the id of the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// CommandCount returns how many commands of a name the server has executed.
func (s *Server) CommandCount(t testing.TB, command string) int {
	t.Helper()
	info, err := s.Client(t).Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := bytes.Cut([]byte(info), []byte("cmdstat_"+command+":calls="))
	if !found {
		return 0
	}
	digits, _, _ := bytes.Cut(rest, []byte(","))
	n, err := strconv.Atoi(string(digits))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Path returns a path in the server's directory.
func (s *Server) Path(name string) string { return filepath.Join(s.Dir, name) }
