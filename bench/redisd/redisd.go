// Package redisd starts redis-server processes to measure against.
package redisd

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// Available reports whether redis-server is in PATH.
func Available() bool {
	_, err := exec.LookPath("redis-server")
	return err == nil
}

// A Server is one redis-server on a loopback port of its own.
type Server struct {
	Addr string

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	out  *bytes.Buffer
}

// Arguments of the ways to persist that are measured.
var (
	NoPersistence = []string{"--appendonly", "no"}
	AOFEverySec   = []string{"--appendonly", "yes", "--appendfsync", "everysec"}
	AOFAlways     = []string{"--appendonly", "yes", "--appendfsync", "always"}
)

// Start starts a server that works in dir, which is created, and waits until it
// answers. The caller stops it.
func Start(dir string, args ...string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	for range 5 { // a free port may be taken before the server binds it
		var s *Server
		if s, err = start(dir, args); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func start(dir string, args []string) (*Server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	args = append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--daemonize", "no"}, args...)
	s := &Server{Addr: addr, cmd: exec.Command("redis-server", args...), done: make(chan struct{}), out: &bytes.Buffer{}}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := startGuarded(s.cmd); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	return s, s.await()
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// await returns once the server answers PING.
func (s *Server) await() error {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		select {
		case <-s.done:
			return fmt.Errorf("redis-server ended: %s", s.out.String())
		case <-time.After(10 * time.Millisecond):
		}
		if s.answers() {
			return nil
		}
	}
	s.Stop()
	return errors.New("redis-server does not answer")
}

func (s *Server) answers() bool {
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	buf := make([]byte, 16)
	n, _ := c.Read(buf)
	return bytes.HasPrefix(buf[:n], []byte("+PONG"))
}

// Stop kills the process and waits for it. Calling it again does nothing.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill()
	<-s.done
}
