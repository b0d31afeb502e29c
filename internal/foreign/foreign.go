// Package foreign calls code that is not ours: components and their hooks, adapters,
// listeners, log handlers, what a program does with a client that it lends. Whatever
// such code does other than return is the error of that one call: it may panic, it may
// end its goroutine (runtime.Goexit, which is what t.FailNow in a test double does),
// and its errors may panic when they are asked for their text.
//
// Every call of foreign code on a goroutine of ours goes through here. What a program
// gives to Update, View and the like runs in the goroutine of the program and needs
// nothing but locks that are released by defer.
package foreign

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// Failure is a call of foreign code that did not return.
type Failure struct {
	In    string // what was called
	Panic string // what it panicked with; empty: it ended its goroutine
	Stack []byte // of the panic; for a log
}

func (f *Failure) Error() string {
	if f.Stack == nil {
		return f.In + " ended its goroutine (runtime.Goexit, or FailNow of a test) in place of returning"
	}
	return "panic in " + f.In + ": " + f.Panic
}

// Stack returns the stack of a panic in foreign code that err tells of, and the empty
// string when there was none.
func Stack(err error) string {
	if f := (*Failure)(nil); errors.As(err, &f) {
		return string(f.Stack)
	}
	return ""
}

// Failed reports that err tells of foreign code that did not return.
func Failed(err error) bool { return errors.As(err, new(*Failure)) }

// Call calls fn and returns its error, or a *[Failure] that names in. What fn has
// written elsewhere is to be used only when there is no error.
//
// It runs fn in another goroutine, since code that ends its goroutine cannot be
// stopped there, and waits for it, however long that takes.
func Call(in string, fn func() error) error { return (*Helpers)(nil).Call(in, fn) }

// longestPanic bounds how much of a panic's value gets into an error.
const longestPanic = 200

// Catch, when it is deferred, makes a panic the *[Failure] that err points to. It is
// enough for code of ours, which does not end its goroutine.
func Catch(in string, err *error) {
	if p := recover(); p != nil {
		f := &Failure{In: in, Stack: debug.Stack()}
		*err = f
		f.Panic = fmt.Sprintf("%.*s", longestPanic, fmt.Sprint(p))
	}
}

// mostWrapped bounds how many errors an error may wrap.
const mostWrapped = 1000

var errEndless = errors.New("it returned an error that wraps itself, or too many others")

// checked returns err, which is foreign too, once that was asked what errors are asked:
// none that follows it to its end waits for ever.
func checked(err error) error {
	if err == nil {
		return nil
	}
	if left := mostWrapped; !ends(err, &left) {
		return errEndless
	}
	_ = err.Error()
	_ = errors.Is(err, errNone)
	return err
}

// ends reports that err wraps no more errors than are left.
func ends(err error, left *int) bool {
	for err != nil {
		if *left--; *left < 0 {
			return false
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			for _, e := range x.Unwrap() {
				if !ends(e, left) {
					return false
				}
			}
			return true
		default:
			return true
		}
	}
	return true
}

// errNone is no error of anybody.
var errNone = errors.New("none")
