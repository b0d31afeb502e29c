//go:build unix

package redistest

import "syscall"

// Stop freezes the process, which keeps its connections.
func (s *Server) Stop() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Cont thaws it.
func (s *Server) Cont() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }
