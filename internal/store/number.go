package store

import "math"

// Next returns the number after n: an epoch, a version, or what else kind names.
// Numbers never wrap around. The last one there is has no successor, and waiting
// does not change that. Whoever counts on from a stored number asks here.
func Next(kind string, n uint64) (uint64, error) {
	if n == math.MaxUint64 {
		return 0, MarkPermanent(Answer(Fence{}, ErrConflict, "no %s is left above %d, which no program reaches by counting: find out who wrote it", kind, n))
	}
	return n + 1, nil
}

// NextVersion is Next of the version of f, with an error that carries f.
func (f Fence) NextVersion() (uint64, error) { return f.next("version", f.Version) }

// NextEpoch is Next of the epoch of f, with an error that carries f.
func (f Fence) NextEpoch() (uint64, error) { return f.next("epoch", f.Epoch) }

func (f Fence) next(kind string, n uint64) (uint64, error) {
	next, err := Next(kind, n)
	if err != nil {
		err = &Error{Fence: f, Err: err}
	}
	return next, err
}
