package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/archive"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
	"github.com/durablestate/durable/internal/redact"
	"github.com/durablestate/durable/internal/store"
)

// The exit codes.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitUnsound  = 3
	exitNotFound = 4
	exitRefused  = 5
	exitHangup   = 141 // what a shell shows for other programs whose reader has gone
)

// A failure is an error with an exit code of its own.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usage(format string, args ...any) error { return fail(exitUsage, format, args...) }

func fail(code int, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

// exitCode returns the code that goes with err.
func exitCode(err error) int {
	var f *failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
		return f.code
	case store.OutcomeOf(err) == store.FirstBoot:
		return exitNotFound
	case store.OutcomeOf(err) != store.Unreachable, errors.Is(err, archive.ErrDamaged), errors.Is(err, archive.ErrTooNew):
		return exitUnsound
	case store.ClassOf(err) == store.Refused, errors.Is(err, ui.ErrDeclined):
		return exitRefused
	case errors.Is(err, durable.ErrInvalidID), strings.HasPrefix(err.Error(), "unknown command"), strings.HasPrefix(err.Error(), "required flag"):
		return exitUsage
	}
	return exitFailed
}

// finish says what went wrong and returns the exit code.
func (a *app) finish(err error) int {
	lost := a.term.Lost()
	if ui.IsHangup(lost) && (err == nil || ui.IsHangup(err)) {
		return exitHangup
	}
	if lost != nil && err == nil {
		err = fmt.Errorf("not all output was written: %w", lost)
	}
	code := exitCode(err)
	if err == nil {
		return code
	}
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("interrupted: %w", err)
	}
	a.say(err)
	return code
}

// say writes an error beside the results.
func (a *app) say(err error) {
	code := exitCode(err)
	text := a.conn.redact(ui.Plain(err.Error()))
	if a.term.JSON {
		side := ui.Terminal{Out: a.term.Err}
		_ = side.Emit(map[string]any{"error": text, "exit_code": code})
	} else {
		a.term.Note("durable: %s", strings.TrimPrefix(text, "durable: "))
	}
}

var credentials = regexp.MustCompile(`://[^\n]*@`) // a password may hold anything where it was not escaped

// redact masks what must not be shown: credentials in URLs, and the password of
// the URL that was given, wherever it appears.
func (c *connection) redact(text string) string {
	text = credentials.ReplaceAllString(text, "://***@")
	return redact.New(append(passwords(c.redisURL), passwords(os.Getenv("REDIS_URL"))...)...).Text(text)
}
