package ui

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

// A Writer is the way out for all that a command says. It remembers the first
// error and writes nothing behind it: a result that is not whole must not look as
// if it were. It is safe for concurrent use.
type Writer struct {
	w   io.Writer
	mu  sync.Mutex
	err error
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

func (w *Writer) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	w.err = err
	return n, err
}

// Err returns the first error.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Unwrap returns where w writes to.
func (w *Writer) Unwrap() io.Writer { return w.w }

// IsHangup reports that err says that nobody reads any more, as behind "| head".
func IsHangup(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}
