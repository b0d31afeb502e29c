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

// final are the answers beside those of a load that asking again does not change.
var final = []error{ErrClosed, ErrInvalidID, ErrTooLarge, ErrOutclaimed}

// IsAnswer reports that err is an answer about a component, not a failure to get
// one: asking again would change nothing.
func IsAnswer(err error) bool {
	if OutcomeOf(err) != Unreachable {
		return true
	}
	for _, answer := range final {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

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
