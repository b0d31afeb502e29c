// Package saver keeps one state under one id in the store: what is known of its
// stored copy, and the saves of it.
package saver

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/engine/flight"
	"github.com/durablestate/durable/internal/engine/lease"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/engine/spill"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/store"
)

// System is what all savers of a Checkpointer share.
type System struct {
	backend.Backend
	Ownership lease.Ownership
	Spill     *spill.Depot // takes what cannot be saved at Close; nil: none
	Words     backend.Words
	Log       *slog.Logger
	Events    *report.Events

	Crew      *flight.Crew
	Deadlines *wait.Deadlines // of calls of the adapter
	Timeout   time.Duration   // of one call
	Closing   context.Context // ends when Close begins
	Hurrying  context.Context // ends when Close waits for no save any more, with Spill

	*Outages

	Retry func(s *Saver, at time.Time) // asks for a tick of s at that time
	Count func() int                   // of the registered components
	Made  time.Time                    // instants count from here

	spilling atomic.Pointer[context.Context]
}

// SpillUntil makes every flight that begins from here on one to the spill, until ctx
// ends.
func (sys *System) SpillUntil(ctx context.Context) { sys.spilling.Store(&ctx) }

var errNoAnswer = errors.New("the adapter has not returned from a save that was given up")

// send saves snap. Once states are being spilled, it goes on without an answer of an
// adapter that does not heed its context: the state may yet be spilled, as a later version.
func (sys *System) send(ctx context.Context, name string, snap *store.Snapshot) error {
	if sys.Spill == nil {
		return sys.Save(ctx, name, snap)
	}
	answer := make(chan error, 1)
	if !sys.Crew.Beside(func() {
		err := errNoAnswer
		defer func() { answer <- err }()
		err = sys.Save(ctx, name, snap)
	}) {
		return store.ErrClosed
	}
	select {
	case err := <-answer:
		return err
	case <-sys.Hurrying.Done():
		return errNoAnswer
	}
}

// lost counts what the store was seen to have lost: one compares it with before.
func (sys *System) lost() uint32 {
	if sys.Custodian == nil {
		return 0
	}
	return uint32(sys.Custodian.Losses())
}

// Emit passes on what happened to a component since start.
func (sys *System) Emit(op, id string, version uint64, bytes int, start time.Time, err error) {
	sys.Events.Emit(report.Event{Op: op, ComponentID: id, Version: version, Bytes: bytes, Duration: time.Since(start), Err: err})
}

// instant is in nanoseconds after the System was made, plus one; 0 is none.
type instant int64

func (sys *System) instant(t time.Time) instant { return instant(t.Sub(sys.Made)) + 1 }

// since returns how long before now it was.
func (sys *System) since(i instant, now time.Time) time.Duration {
	return time.Duration(sys.instant(now) - i)
}
