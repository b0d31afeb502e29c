package store

import (
	"errors"
	"fmt"
)

// Outcome says how the restore of one component ended. It has the values of
// durable.Outcome.
type Outcome string

// The outcomes that a load decides, and Rejected, which the component decides.
const (
	FirstBoot   Outcome = "first-boot"
	Restored    Outcome = "restored"
	FellBack    Outcome = "fell-back"
	Expired     Outcome = "expired"
	Lost        Outcome = "lost"
	Corrupt     Outcome = "corrupt"
	TooNew      Outcome = "too-new"
	Rejected    Outcome = "rejected"
	Unreachable Outcome = "unreachable"
)

// outcomes are those of the answers that a load gives in place of a snapshot.
// The first that matches counts: ErrTooNew is never the fault of the bytes.
var outcomes = []struct {
	answer  error
	outcome Outcome
}{
	{ErrTooNew, TooNew},
	{ErrCorrupt, Corrupt},
	{ErrLost, Lost},
	{ErrExpired, Expired},
	{ErrNotFound, FirstBoot},
}

// OutcomeOf returns the outcome of a load that ended with err: Unreachable for
// whatever is no answer about the state.
func OutcomeOf(err error) Outcome {
	for _, o := range outcomes {
		if errors.Is(err, o.answer) {
			return o.outcome
		}
	}
	return Unreachable
}

// ErrOutclaimed is a claim that met a fence above its epoch: whoever restores
// needs a new lease. It never leaves package durable without ErrFenced.
var ErrOutclaimed = errors.New("durable: a greater epoch was claimed meanwhile")

// Outclaimed makes ErrOutclaimed of the refusal of a claim, and leaves any other
// error as it is.
func Outclaimed(err error) error {
	if errors.Is(err, ErrFenced) {
		return fmt.Errorf("%w: %w", ErrOutclaimed, err)
	}
	return err
}

// A Class says what may be done about an error of a store: whether to go on, to
// wait, to leave it to the rules of ownership, or to fail with the remedy. Leases,
// claims, restores, saves, Close, health, logs and the command all ask ClassOf.
type Class int

// The classes. The end of the caller's own context belongs to none of them: whoever
// gave that asks it first.
const (
	// Done: no error.
	Done Class = iota
	// BelowLevel: stored, but fewer copies confirmed it than configured. Go on, and
	// say so.
	BelowLevel
	// Unreached: the store gave no answer, or none for the moment. Wait, say so, and
	// ask again. Errors that nobody knows are of this class.
	Unreached
	// Refused: by the save rule, the lease rule or the order of calls. The store is
	// in order, and the caller knows what follows.
	Refused
	// Permanent: asking again will not change the answer. Fail at once.
	Permanent
)

// permanent are the answers beside those of a load that asking again does not change.
var permanent = []error{ErrPermanent, ErrClosed, ErrInvalidID, ErrTooLarge, ErrOutclaimed}

// refusals are the answers that the rules give.
var refusals = []error{ErrFenced, ErrConflict, ErrLeaseHeld, ErrNotRestored, ErrNotRegistered, ErrNotApplied, ErrReplaced}

// ClassOf returns the class of err. Of an error that joins several the first in this
// order counts: what was stored, what will not change, what the rules refuse.
func ClassOf(err error) Class {
	switch {
	case err == nil:
		return Done
	case errors.Is(err, ErrNotDurable):
		return BelowLevel
	case OutcomeOf(err) != Unreachable, isAny(err, permanent):
		return Permanent
	case isAny(err, refusals):
		return Refused
	}
	return Unreached
}

func isAny(err error, targets []error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// IsAnswer reports that err is an answer about a component, not a failure to get
// one: asking again would change nothing.
func IsAnswer(err error) bool { return ClassOf(err) == Permanent }

// IsStored reports that a call which ended with err has done what it was to do,
// perhaps below the configured durability.
func IsStored(err error) bool { return ClassOf(err) <= BelowLevel }

// MarkPermanent makes an error of class Permanent of err, with the same text.
func MarkPermanent(err error) error {
	if err == nil || IsAnswer(err) {
		return err
	}
	return &lasting{err}
}

// lasting is an error of class Permanent that says so by its class alone.
type lasting struct{ err error }

func (l *lasting) Error() string   { return l.err.Error() }
func (l *lasting) Unwrap() []error { return []error{l.err, ErrPermanent} }

// Policy says which outcomes are good enough to start. It has the values of
// durable.RestorePolicy.
type Policy string

// The policies.
const (
	FreshIfAbsent     Policy = "fresh-if-absent"
	RestoreRequired   Policy = "required"
	FreshIfUnreadable Policy = "fresh-if-unreadable"
)

// Valid reports that p is a policy.
func (p Policy) Valid() bool {
	return p == FreshIfAbsent || p == RestoreRequired || p == FreshIfUnreadable
}

// Accepts reports whether a component may run after outcome o.
func (p Policy) Accepts(o Outcome) bool {
	switch o {
	case Restored, FellBack:
		return true
	case FirstBoot, Expired:
		return p != RestoreRequired
	case Lost, Corrupt, TooNew, Rejected:
		return p == FreshIfUnreadable
	}
	return false
}
