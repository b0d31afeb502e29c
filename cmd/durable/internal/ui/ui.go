// Package ui is what a command says to a person: tables, ages and sizes,
// colours, progress and questions. Results go to Out, everything else to Err, so
// that a pipe gets results only.
package ui

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/term"
)

// A Terminal is where a command reads from and writes to.
type Terminal struct {
	In       io.Reader
	Out, Err *Writer
	JSON     bool // results as JSON, one value a line
	Quiet    bool // no progress
}

// Emit writes v as one line of JSON, in which nothing can control a terminal.
func (t *Terminal) Emit(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = t.Out.Write(append(ascii(b), '\n'))
	return err
}

// ascii escapes what JSON leaves as it is and a terminal would obey.
func ascii(b []byte) []byte {
	if !bytes.ContainsFunc(b, func(r rune) bool { return !shown(r) }) {
		return b
	}
	var out []byte
	for _, r := range string(b) {
		switch {
		case shown(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// Printf writes a result for people. Nothing in it can control the terminal.
func (t *Terminal) Printf(format string, args ...any) {
	_, _ = io.WriteString(t.Out, Plain(fmt.Sprintf(format, args...)))
}

// Verdict writes a word in its colour, where colours are shown.
func (t *Terminal) Verdict(word string) {
	if t.Colourful() {
		word = Colour(word)
	}
	_, _ = io.WriteString(t.Out, word)
}

// Note says something beside the results. Nothing in it can control the terminal.
func (t *Terminal) Note(format string, args ...any) {
	_, _ = io.WriteString(t.Err, Plain(fmt.Sprintf(format+"\n", args...)))
}

// Lost returns why not all that the command said could be written, nil if it was.
func (t *Terminal) Lost() error { return cmp.Or(t.Out.Err(), t.Err.Err()) }

// Colourful reports whether Out shows colours and wants them.
func (t *Terminal) Colourful() bool {
	return !t.JSON && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && IsTerminal(t.Out)
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f any) bool {
	if w, ok := f.(*Writer); ok {
		f = w.Unwrap()
	}
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Height returns the number of lines of Out, 0 if it is no terminal.
func (t *Terminal) Height() int {
	if file, ok := t.Out.Unwrap().(*os.File); ok {
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
	if _, err := io.WriteString(t.Err, Plain(question)+" [y/N] "); err != nil {
		return fmt.Errorf("%w: the question could not be shown: %w", ErrDeclined, err)
	}
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
