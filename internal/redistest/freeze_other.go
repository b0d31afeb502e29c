//go:build !unix

package redistest

// Stop needs SIGSTOP.
func (s *Server) Stop() { panic("redistest: this system cannot freeze a process") }

// Cont needs SIGCONT.
func (s *Server) Cont() { panic("redistest: this system cannot thaw a process") }
