package store

import (
	"errors"
	"math"
)

// Found is what a load in one place answered about a component: by itself, or in
// the set of its system.
type Found struct {
	Fence Fence // highest epoch and version known to have been accepted there
	Err   error // why there is no state; nil: there is one

	Version     uint64 // of the snapshot that has the state; 0: left by a plain writer
	LastVersion uint64 // of that snapshot: above Version when newer ones did not verify
}

// FoundBy returns what a load of s, or the error err with the fence f, tells.
func FoundBy(s *Snapshot, f Fence, err error) Found {
	if err != nil {
		return Found{Fence: f, Err: err}
	}
	return Found{Fence: s.Fence(), Version: s.Version, LastVersion: s.LastVersion}
}

// Existed reports that there was ever a state.
func (f Found) Existed() bool {
	return f.Err == nil || f.Fence.Version > 0 || !errors.Is(f.Err, ErrNotFound)
}

// rank is where the place stands among versions. What exists and tells nothing of
// itself must not be passed over.
func (f Found) rank() uint64 {
	silent := f.Fence.Version == 0 && !errors.Is(f.Err, ErrNotFound) && !errors.Is(f.Err, ErrExpired)
	if f.Err != nil && (silent || !IsAnswer(f.Err)) {
		return math.MaxUint64
	}
	return f.Fence.Version
}

// Choice says where a restore takes a component's state from.
type Choice struct {
	Own bool // from its own snapshots; else from the set

	// FellBackFrom is the highest version of the place that was passed over when
	// that had newer ones than what was chosen, which do not verify; else 0.
	FellBackFrom uint64
}

// Choose decides between what was found of a component by itself and in the set of
// its system. Where both have a state the higher epoch wins. Whoever saves in one
// place takes versions above the highest that was accepted in the other, so that
// the fences, which outlive everything, tell which is newer when one of them
// cannot be read.
func Choose(own, set Found) Choice {
	best, other := set, own
	c := Choice{Own: newer(own, set)}
	if c.Own {
		best, other = own, set
	}
	if best.Err == nil && other.Err == nil && other.LastVersion > max(other.Version, best.Fence.Version) {
		c.FellBackFrom = other.LastVersion
	}
	return c
}

func newer(own, set Found) bool {
	switch {
	case !set.Existed():
		return true
	case !own.Existed():
		return false
	case own.Err == nil && set.Err == nil && own.Version > 0 && own.Fence.Epoch != set.Fence.Epoch:
		return own.Fence.Epoch > set.Fence.Epoch
	}
	return own.rank() > set.rank()
}
