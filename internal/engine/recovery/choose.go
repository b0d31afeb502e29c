package recovery

import (
	"errors"

	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/store"
)

// candidate is a state that a component may be restored from, or why there is none.
type candidate struct {
	snap   *store.Snapshot // nil: found.Err
	found  store.Found
	place  *saver.Saver    // whose generations it is one of
	unread *store.Snapshot // bytes to set aside before they are left out
}

// choose decides where a component is restored from, and makes the other place older.
func (r *Recovery) choose(t Target, own loaded) *chosen {
	mine := candidate{snap: own.snap, found: own.found, place: own.saver}
	t.Saver.Raise(mine.found.Fence.Epoch) // also when the state comes from the set
	if mine.found.Existed() {
		r.Set.Saver.SaveAbove(mine.found.Fence)
	}
	if r.whole.found.Existed() {
		t.Saver.SaveAbove(r.whole.found.Fence)
	}
	return &chosen{Target: t, r: r, candidate: newest(mine, r.whole.part(t.Component.ID(), r.System.Words)), setUp: own.setUp}
}

// chooseAll chooses for all targets, unless one could not be claimed.
func (r *Recovery) chooseAll(targets []Target, own []loaded) ([]*chosen, error) {
	var errs []error
	for i := range own {
		errs = append(errs, own[i].outclaimed)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	all := make([]*chosen, len(targets))
	for i, t := range targets {
		all[i] = r.choose(t, own[i])
	}
	return all, nil
}

// newest returns the candidate that store.Choose wants. Where the other place had
// something newer that does not verify, what is chosen is a fallback from it.
func newest(own, set candidate) candidate {
	choice := store.Choose(own.found, set.found)
	best, other := set, own
	if choice.Own {
		best, other = own, set
	}
	if choice.FellBackFrom != 0 {
		s := *best.snap
		s.LastVersion = choice.FellBackFrom
		best.snap, best.place = &s, other.place
	}
	return best
}
