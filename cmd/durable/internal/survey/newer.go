package survey

import (
	"errors"
	"math"

	"github.com/durablestate/durable"
)

// A component's state may be in two places: in snapshots of its own and in the
// set of its system. Which of them a restart takes is what a Checkpointer decides
// in Restore; drill asks one, and the tests compare.

// found is what a load in one place answered about a component.
type found struct {
	err            error // nil: a state
	plain          bool  // it is one without an envelope
	epoch, version uint64
}

func foundAs(c Component) found {
	f := found{err: c.err, epoch: c.Epoch, version: max(c.Version, c.LastVersion)}
	f.plain = c.err == nil && c.Version == 0
	return f
}

// existed reports that there was ever a state.
func (f found) existed() bool {
	return f.err == nil || f.version > 0 || !errors.Is(f.err, durable.ErrNotFound)
}

// rank is where the place stands among versions. What exists and tells nothing of
// itself is not passed over.
func (f found) rank() uint64 {
	silent := f.version == 0 && !errors.Is(f.err, durable.ErrNotFound) && !errors.Is(f.err, durable.ErrExpired)
	if f.err != nil && (silent || !answered(f.err)) {
		return math.MaxUint64
	}
	return f.version
}

// isNewer reports that a restart takes the component's own state, not the set's.
func isNewer(own, part found) bool {
	switch {
	case !part.existed():
		return true
	case !own.existed():
		return false
	case own.err == nil && part.err == nil && !own.plain && own.epoch != part.epoch:
		return own.epoch > part.epoch
	}
	return own.rank() > part.rank()
}
