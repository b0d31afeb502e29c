// Package ui is what a command says to a person: tables, ages and sizes,
// colours, progress and questions. Results go to Out, everything else to Err, so
// that a pipe gets results only.
package ui

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// A Terminal is where a command reads from and writes to.
type Terminal struct {
	In       io.Reader
	Out, Err io.Writer
	JSON     bool // results as JSON, one value a line
	Quiet    bool // no progress
}

// Emit writes v as one line of JSON.
func (t *Terminal) Emit(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = t.Out.Write(append(b, '\n'))
	return err
}

// Printf writes a result for people.
func (t *Terminal) Printf(format string, args ...any) { fmt.Fprintf(t.Out, format, args...) }

// Note says something beside the results.
func (t *Terminal) Note(format string, args ...any) { fmt.Fprintf(t.Err, format+"\n", args...) }

// Colourful reports whether Out shows colours and wants them.
func (t *Terminal) Colourful() bool {
	return !t.JSON && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && IsTerminal(t.Out)
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Height returns the number of lines of Out, 0 if it is no terminal.
func (t *Terminal) Height() int {
	if file, ok := t.Out.(*os.File); ok {
		if _, h, err := term.GetSize(int(file.Fd())); err == nil {
			return h
		}
	}
	return 0
}

// ErrDeclined is the answer of Confirm when nobody agreed.
var ErrDeclined = errors.New("not confirmed, nothing was changed")

// Confirm asks question and returns nil for a yes; a ctx that ends is a no. Where nobody can be asked the
// error says how to agree beforehand.
func (t *Terminal) Confirm(ctx context.Context, question string, agreed bool) error {
	if agreed {
		return nil
	}
	if !IsTerminal(t.In) || t.JSON {
		return fmt.Errorf("%w: there is no terminal to ask on; give --yes to agree", ErrDeclined)
	}
	fmt.Fprintf(t.Err, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(t.In).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		if a == "y" || a == "yes" {
			return nil
		}
	case <-ctx.Done(): // Ctrl-C; the goroutine ends with the process
		fmt.Fprintln(t.Err)
	}
	return ErrDeclined
}
