package saver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/flight"
	"github.com/durablestate/durable/internal/engine/schedule"
	"github.com/durablestate/durable/internal/store"
)

// Subject is what a Saver saves: the state of one component, or of all as one.
type Subject interface {
	ID() string           // for people
	Name() string         // for the adapter
	Every() time.Duration // between checkpoints
	Mark() component.Mark
	Capture(ctx context.Context) (component.Capture, error) // never twice at a time
	// Settled takes the result of an attempt to save in. It returns for how long
	// the capture held others up, and the error with what the subject knows of it.
	Settled(err error) (pause time.Duration, _ error)
}

// Saver saves a Subject. A program may have a million of which most do nothing,
// so it holds what an idle one needs, what is looked at first together, and the
// rest in extras for as long as there is any. It is safe for concurrent use, and
// must not be copied after Init.
type Saver struct {
	subject Subject
	sys     *System

	mu          sync.Mutex // guards all that follows
	line        flight.Line
	extras      *extras // nil: nothing
	lastCurrent instant // the stored copy was known to be current then
	lastSeen    instant // and was seen in the store then
	copy        Copy
	phase       phase
	ever        bool // it was restored once
	told        bool // Close has asked for the state, and got it

	place           schedule.Place // guarded by the schedule
	skips, failures tally
	saves           uint64
}

// phase says whether a Saver may save.
//
//	phase       a save is    entered by
//	unrestored  refused      Init; Quiesce, when a restore begins
//	open        accepted     Open: a restore was accepted
//	shut        refused      Shut: a restore was not; a save that was refused; Supersede
//	closed      refused      CloseIfSaved, Finish, Retire: for good
type phase uint8

const (
	unrestored phase = iota
	open
	shut // extras.why says why
	closed
)

// extras are what not every Saver has all the time. They are dropped when empty.
type extras struct {
	why         error // the component cannot save
	err         error // of the last attempt
	unsaved     bool  // which found a change
	backoff     time.Duration
	lastDurable *Copy            // while the stored copy is below the level: what was durable before
	digest      component.Digest // of the stored data, where the change count does not tell all
	start       *store.Snapshot  // state to start from, when it is not the zero state
	spilled     uint64           // change count that what Close wrote to the spill covers, and one; 0: nothing
	unspilled   error            // why it could not

	// Until it is restored.
	asked bool   // a Restore was asked for
	setUp uint64 // change count at that moment
}

// tally counts what is rare for one state, and no further than it can.
type tally uint32

func (n *tally) add() {
	if *n < math.MaxUint32 {
		*n++
	}
}

// Init makes s the saver of subject.
func (s *Saver) Init(sys *System, subject Subject) { s.sys, s.subject = sys, subject }

func (s *Saver) ID() string   { return s.subject.ID() }
func (s *Saver) Name() string { return s.subject.Name() }

// A Saver is a flight.Task, and a schedule.Item.

func (s *Saver) Lock()                   { s.mu.Lock() }
func (s *Saver) Unlock()                 { s.mu.Unlock() }
func (s *Saver) Line() *flight.Line      { return &s.line }
func (s *Saver) Place() *schedule.Place  { return &s.place }
func (s *Saver) Interval() time.Duration { return s.subject.Every() }

// Tick is a scheduled checkpoint, which is left out while a save is under way.
func (s *Saver) Tick(now time.Time) {
	s.mu.Lock()
	busy := !s.line.Idle()
	idle := busy || s.phase != open || s.skip(now)
	s.mu.Unlock()
	switch {
	case busy: // with a component that does not return?
		s.sys.Crew.Relieve(s.sys.Timeout)
	case !idle:
		s.Request()
	}
}

// Current reports that every change made so far is stored, and that the stored
// copy need not be refreshed yet.
func (s *Saver) Current(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line.Idle() && s.phase == open && s.skip(now)
}

// skip reports that there is nothing to do, and counts it. The caller holds s.mu.
func (s *Saver) skip(now time.Time) bool {
	if !s.upToDate(now) {
		return false
	}
	s.skips.add()
	s.lastCurrent = s.sys.instant(now)
	return true
}

// Request returns a flight that covers every change so far. Close has its own.
func (s *Saver) Request() *flight.Flight {
	if s.sys.Closing.Err() != nil {
		return flight.Done(s.Fail("save", store.ErrClosed))
	}
	return s.FinalRequest()
}

// FinalRequest is Request for Close.
func (s *Saver) FinalRequest() *flight.Flight {
	if f := s.sys.Crew.Join(s); f != nil {
		return f
	}
	return flight.Done(s.Fail("save", store.ErrClosed))
}

// Checkpoint saves the state as it is at the time of the call or later and returns
// when that is durable, or ctx ends.
func (s *Saver) Checkpoint(ctx context.Context) error { return s.Request().Wait(ctx) }

// Fail words err, unless the adapter said it all.
func (s *Saver) Fail(op string, err error) error { return s.sys.Words.Fail(op, s.ID(), err) }

// fault words err.
func (s *Saver) fault(op string, err error) error { return s.sys.Words.Fault(op, s.ID(), err) }

// rare returns the extras, which it makes if there are none. The caller holds
// s.mu, and calls trim when it may have emptied them.
func (s *Saver) rare() *extras {
	if s.extras == nil {
		s.extras = &extras{}
	}
	return s.extras
}

// trim drops what is not needed any more. The caller holds s.mu.
func (s *Saver) trim() {
	if s.extras != nil && *s.extras == (extras{}) {
		s.extras = nil
	}
}

// known returns the extras, or that there are none. The caller holds s.mu.
func (s *Saver) known() extras {
	if s.extras == nil {
		return extras{}
	}
	return *s.extras
}

// gate is why the state cannot be saved, nil when it can. The caller holds s.mu.
func (s *Saver) gate() error {
	switch s.phase {
	case open:
		return nil
	case shut:
		return s.extras.why
	case closed:
		return s.fault("save", store.ErrClosed)
	}
	return s.fault("save", store.ErrNotRestored)
}

// enter makes p the phase, for why or nil, unless it is closed. s.mu is held.
func (s *Saver) enter(p phase, why error) {
	if s.phase == closed {
		return
	}
	s.phase = p
	if why != nil || s.extras != nil {
		s.rare().why = why
		s.trim()
	}
}

// Shut refuses saves until the state is restored; err is why it was not.
func (s *Saver) Shut(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enter(shut, s.fault("save", fmt.Errorf("%w: %w", store.ErrNotRestored, err)))
	s.rare().err = err
}

// Supersede refuses saves under epoch or one below: err says that another owner
// has a greater one. What a restore has opened meanwhile goes on.
func (s *Saver) Supersede(epoch uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == open && s.copy.epoch <= epoch {
		s.enter(shut, s.fault("save", err))
	}
}

// Retire refuses saves for good of a state whose last change is stored, or that was never
// restored and only set up. Of any other it reports why it stays.
func (s *Saver) Retire() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase != closed && !s.ever && s.untouched():
	case s.phase != open:
		return s.gate()
	case !s.line.Quiet() || s.changed():
		return s.fault("release", errors.New("it changes while it is released"))
	}
	s.enter(closed, nil)
	return nil
}

// Restored reports that the state was restored once.
func (s *Saver) Restored() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ever
}
