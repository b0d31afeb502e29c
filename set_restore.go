package durable

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// A component's state may be in two places: in a snapshot of its own and in the
// set. Where both can be read the higher epoch wins. Whoever saves in one place
// takes versions above the highest that was accepted in the other, so that the
// fences, which outlive everything, tell which place is newer when one of them
// cannot be read.

// found is what a load in one place answered about a component.
type found struct {
	snap    *Snapshot
	err     error // why snap is nil
	epoch   uint64
	version uint64    // highest known to have been accepted
	place   *member   // whose snapshots were looked at
	unread  *Snapshot // bytes to set aside before they are left out
}

func foundBy(place *member, snap *Snapshot, err error) found {
	f := found{snap: snap, err: err, place: place}
	f.epoch, f.version = fenceOf(snap, err)
	return f
}

// existed reports that there was ever a state.
func (f found) existed() bool {
	return f.snap != nil || f.version > 0 || !errors.Is(f.err, ErrNotFound)
}

// rank is where the place stands among versions. What exists and tells nothing of
// itself must not be passed over.
func (f found) rank() uint64 {
	if f.snap == nil && f.version == 0 && !errors.Is(f.err, ErrNotFound) && !errors.Is(f.err, ErrExpired) || f.err != nil && !definite(f.err) {
		return math.MaxUint64
	}
	return f.version
}

// latest decides between the component's own snapshots and the set.
func (m *recovery) latest(own found, in *storedSet) found {
	all := in.whole
	m.raise(own.epoch) // also when the state comes from the set
	if own.existed() {
		in.m.above(own)
	}
	if all.existed() {
		m.above(all)
	}
	best, other := in.part(m.id()), own
	if isNewer(own, best) {
		best, other = own, best
	}
	if best.snap != nil && other.snap != nil && other.snap.LastVersion > max(other.snap.Version, best.version) {
		s := *best.snap // what is newer there does not verify
		s.LastVersion = other.snap.LastVersion
		best.snap, best.place = &s, other.place
	}
	return best
}

// isNewer reports that the component's own snapshot is to be used, not the set.
func isNewer(own, part found) bool {
	switch {
	case !part.existed():
		return true
	case !own.existed():
		return false
	case own.snap != nil && part.snap != nil && own.snap.Version > 0 && own.epoch != part.epoch:
		return own.epoch > part.epoch
	}
	return own.rank() > part.rank()
}

// above makes the saves of m newer than what was found in the other place.
func (m *member) above(f found) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.version < math.MaxUint64 {
		m.stored.tried = max(m.stored.tried, f.version)
	}
	m.raiseLocked(f.epoch + 1)
}

// raise makes floor at least epoch.
func (m *member) raise(epoch uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.raiseLocked(epoch)
}

func (m *member) raiseLocked(epoch uint64) {
	if m.c.owner == nil { // else the lease says the epoch
		r := m.rest()
		r.floor = max(r.floor, epoch)
	}
}

// storedSet is what a load of the set answered.
type storedSet struct {
	m       *member
	snap    *Snapshot
	err     error
	whole   found // all of that
	entries []sealed
	places  map[string]int // of the entries, by id
	damaged error          // why what is behind the entries cannot be read
}

// load claims the set and loads it, also without Options.Consistent: the
// components may have been saved as one before.
func (s *set) load(ctx context.Context, epoch uint64) (*storedSet, error) {
	snap, err := s.m.fetch(&shifts{parent: ctx, limit: s.c.opts.SaveTimeout}, epoch)
	if errors.Is(err, errOutclaimed) {
		return nil, s.m.fail("restore", err)
	}
	stored := &storedSet{m: s.m, snap: snap, err: err}
	if stored.snap != nil {
		stored.entries, stored.damaged = openSet(stored.snap.Data)
	}
	stored.places = make(map[string]int, len(stored.entries))
	for i, e := range stored.entries {
		stored.places[e.id] = i
	}
	stored.whole = foundBy(s.m, snap, err)
	return stored, nil
}

// part returns what the set tells about a component.
func (l *storedSet) part(id string) found {
	f := l.whole
	if l.snap == nil {
		return f
	}
	f.snap = nil
	i, ok := l.places[id]
	switch {
	case !ok && l.damaged == nil:
		return found{err: &Error{Op: "load", ComponentID: id, Err: ErrNotFound}, place: l.m}
	case !ok:
		f.err, f.unread = fmt.Errorf("%w: the set cannot be read beyond its first %d components: %w", ErrCorrupt, len(l.entries), l.damaged), l.snap
	case l.entries[i].deleted != nil:
		f.err, f.epoch, f.version = ErrNotFound, l.entries[i].deleted.Epoch, l.entries[i].deleted.Version
	case l.entries[i].err != nil:
		f.err = l.entries[i].err
		f.unread = &Snapshot{Epoch: l.snap.Epoch, Version: l.snap.Version, Codec: codecSet, Data: l.entries[i].raw}
	}
	if f.err != nil {
		f.err = &Error{Op: "load", ComponentID: id, Epoch: f.epoch, Version: f.version, Err: f.err}
		return f
	}
	own := l.entries[i].snap
	s := *l.snap // its version and age are those of the cut
	s.Schema, s.Codec, s.Data = own.Schema, own.Codec, own.Data
	f.snap, f.epoch, f.version = &s, own.Epoch, own.Version
	return f
}

// restore restores all components as one: either all can be saved after it, or
// none. Units of work see none of it half done.
func (s *set) restore(ctx context.Context, stored *storedSet, epoch uint64) ([]RestoreResult, error) {
	start := time.Now()
	results := make([]RestoreResult, len(s.parts))
	errs := make([]error, len(s.parts))
	all, calls := make([]recovery, len(s.parts)), &shifts{parent: ctx, limit: s.c.opts.SaveTimeout}
	members := make([]*member, len(s.parts))
	for i, p := range s.parts {
		members[i] = p.m
	}
	s.c.inGroups(calls, members, epoch, func(i int, taken *Snapshot) {
		all[i].member = members[i]
		errs[i] = all[i].find(calls, epoch, stored, taken)
		results[i] = RestoreResult{ComponentID: all[i].id(), Outcome: Unreachable, Err: errs[i]}
	})
	if err := errors.Join(errs...); err != nil {
		return results, err
	}
	if err := s.hold(ctx); err != nil {
		return results, s.m.fail("restore", err)
	}
	defer s.units.Open()
	inParallel(len(all), restoreParallel, func(i int) {
		results[i], errs[i] = all[i].restore(ctx, epoch, start)
	})
	if stored.damaged != nil {
		if err := s.m.setAside(ctx, s.c.adapter, stored.snap); err != nil {
			errs = append(errs, s.m.fail("restore", fmt.Errorf("the damaged set could not be set aside: %w", err)))
		}
	}
	s.carry(stored)
	if err := errors.Join(errs...); err != nil {
		s.m.shut(err)
		return results, err
	}
	s.open(epoch, stored, all, results)
	return results, nil
}

// open lets the set be saved.
func (s *set) open(epoch uint64, stored *storedSet, all []recovery, results []RestoreResult) {
	applied := uint64(0)
	kept, any := true, stored.snap != nil
	s.mu.Lock()
	for i, p := range s.parts {
		p.raw, p.shot, p.stored = nil, nil, 0
		if o := results[i].Outcome; o == Restored || o == FellBack {
			p.stored, any = all[i].applied, true
		} else {
			kept = kept && p.m.counting && p.m.counted().fresh()
		}
		p.captured = p.stored
		applied += p.stored
	}
	s.mu.Unlock()
	s.m.open(epoch, stored.snap, stored.err, stored.snap == nil, applied)
	s.m.mu.Lock()
	s.m.stored.anywhere, s.m.stored.changes = kept && any, applied
	s.m.mu.Unlock()
}
