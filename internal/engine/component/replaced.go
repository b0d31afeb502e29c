package component

import (
	"fmt"
	"sync/atomic"

	"github.com/durablestate/durable/internal/store"
)

// Life tells whether a state is still the one that it was: every restore ends it, and
// with it changes that were not saved. Two of them are compared with Goes.
type Life struct{ begun, ended uint32 } // restores so far

// Goes reports that a state of that life, with all of its changes, has not been
// replaced up to now.
func (l Life) Goes(now Life) bool { return l.begun == l.ended && l.begun == now.begun }

// restores counts what replaces a state.
type restores struct{ begun, ended atomic.Uint32 }

func (r *restores) life() Life {
	ended := r.ended.Load() // first: a restore that ends in between counts as under way
	return Life{r.begun.Load(), ended}
}

// Life returns the life of the state. A change belongs to it that is made after.
func (r *Registered) Life() Life { return r.restores.life() }

// Replace calls fn, which replaces the state, whether a restore does or the program.
// After an error of fn the state is as it was, and its life goes on.
func (r *Registered) Replace(fn func() error) error {
	if r == nil { // not registered: nobody saves the state
		return fn()
	}
	r.restores.begun.Add(1)
	replaced := true // also when fn does not return
	defer func() {
		if replaced {
			r.restores.ended.Add(1)
		} else {
			r.restores.begun.Add(^uint32(0))
		}
	}()
	err := fn()
	replaced = err == nil
	return err
}

// Replaced is the error of a save of a state whose life had ended when the save
// returned err.
func Replaced(err error) error {
	if err == nil {
		return store.ErrReplaced
	}
	return fmt.Errorf("%w: %w", store.ErrReplaced, err)
}
