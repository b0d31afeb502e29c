package recovery

import (
	"context"
	"errors"
	"time"

	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// loaded is what claiming and loading one state came to. Only the claim is written.
type loaded struct {
	saver      *saver.Saver
	snap       *store.Snapshot
	found      store.Found
	shown      *store.Snapshot // what the adapter gave and is not used
	stored     error           // what the store itself answered
	outclaimed error           // it could not be claimed, so nothing is known
	setUp      uint64          // change count of the component before the claim
}

// load claims and loads targets and calls do for each, for so many at a time. What
// the adapter can claim and load together it does, and do goes on while it does.
func (r *Recovery) load(targets []Target, do func(i int, own loaded)) {
	if r.System.Taker == nil || !r.System.Ownership.Grouped() {
		wait.Each(len(targets), parallel, func(i int) { do(i, r.loadOne(targets[i], nil)) })
		return
	}
	type taken struct {
		i    int
		snap *store.Snapshot
	}
	ready := make(chan taken)
	go func() {
		defer close(ready)
		wait.Each((len(targets)+group-1)/group, parallel/group, func(g int) {
			first := g * group
			for i, snap := range r.takeOver(targets[first:min(first+group, len(targets))]) {
				ready <- taken{first + i, snap}
			}
		})
	}()
	workers := min(parallel, len(targets))
	wait.Each(workers, workers, func(int) {
		for t := range ready {
			do(t.i, r.loadOne(targets[t.i], t.snap))
		}
	})
}

// takeOver claims and loads what the adapter can in one step: nothing where a
// spill was not written back, which a claim would fence off.
func (r *Recovery) takeOver(targets []Target) []*store.Snapshot {
	names := make([]string, len(targets))
	for i, t := range targets {
		if r.spilled[t.Saver] != nil {
			return make([]*store.Snapshot, len(targets))
		}
		names[i] = t.Saver.Name()
	}
	return r.System.Taker.TakeOver(r.calls.Begin(time.Now()), names, r.Epoch)
}

// loadOne claims and loads one component, unless the adapter did so and gave taken.
func (r *Recovery) loadOne(t Target, taken *store.Snapshot) loaded {
	setUp := t.Component.Mark().Changes
	keepStart(t)
	var own loaded
	if taken != nil {
		own = r.answered(t.Saver, taken, nil)
	} else {
		own = r.loadState(t.Saver)
	}
	own.setUp = setUp
	return own
}

// keepStart remembers the state to start from when none is stored, for a
// component that is restored again and then found absent: what it has become
// meanwhile must not pass for a fresh state.
func keepStart(t Target) {
	if !t.Component.Counts() || t.Component.Mark().Fresh || t.Saver.Restored() || t.Saver.Start() != nil {
		return
	}
	if c, err := t.Component.Capture(context.Background()); err == nil {
		t.Saver.KeepStart(c.Snapshot)
	}
}

// loadState claims and loads the state of s. It tries again while the store cannot
// be reached and the restore lasts.
func (r *Recovery) loadState(s *saver.Saver) loaded {
	if err := r.spilled[s]; err != nil {
		return r.answered(s, nil, err)
	}
	var snap *store.Snapshot
	err := wait.ForAnswer(r.calls.Parent(), r.silent(s), func() (err error) {
		ctx := r.calls.Begin(time.Now())
		if err := r.System.GoOn(s.ID(), r.System.Ownership.Claim(ctx, s.Name(), r.Epoch)); err != nil {
			return err
		}
		snap, err = r.System.Load(ctx, s.Name())
		return err
	})
	return r.answered(s, snap, err)
}

// answered takes in what a load of s tells about the state, and about the store.
func (r *Recovery) answered(s *saver.Saver, snap *store.Snapshot, err error) loaded {
	if errors.Is(err, store.ErrOutclaimed) {
		return loaded{saver: s, outclaimed: s.Fail("restore", err)}
	}
	if err == nil || store.IsAnswer(err) {
		r.System.Reached(s.ID())
	}
	f, _ := r.System.Words.Fence(err)
	l := loaded{saver: s, snap: snap, found: store.FoundBy(snap, f, err), stored: err}
	if err != nil {
		l.snap, l.shown = nil, snap
	}
	s.NoticeRollback(l.found.Fence.Version)
	r.beneath(&l)
	return l
}

// whole is what a load of the set answered.
type whole struct {
	loaded
	*envelope.Set
}

// loadSet claims the set and loads it, also without Options.Consistent: the
// components may have been saved as one before.
func (r *Recovery) loadSet() error {
	w := &whole{loaded: r.loadState(&r.Set.Saver)}
	if w.outclaimed != nil {
		return w.outclaimed
	}
	var data []byte
	if w.snap != nil {
		data = w.snap.Data
	}
	w.Set = envelope.OpenSet(data, w.found)
	r.whole = w
	return nil
}

// part returns what the set tells about a component, and its state there.
func (w *whole) part(id string, words backend.Words) candidate {
	c := candidate{found: w.Part(id), place: w.saver}
	if w.snap == nil {
		c.stored, c.shown = w.stored, w.shown
		return c
	}
	i := w.Index(id)
	switch {
	case c.found.Err == nil:
		r, s := w.Entries[i].Record, *w.snap // its version and age are those of the cut
		s.Schema, s.Codec, s.Data = r.Schema, r.Codec, r.Data
		c.snap = &s
		return c
	case i >= 0 && w.Entries[i].Err != nil:
		c.unread = &store.Snapshot{Epoch: w.snap.Epoch, Version: w.snap.Version, Codec: envelope.SetCodec, Data: w.Entries[i].Raw}
	case i < 0 && w.Damaged != nil:
		c.unread = w.snap
	}
	c.found.Err = words.Fault("load", id, store.Answer(c.found.Fence, c.found.Err, ""))
	c.stored = c.found.Err
	return c
}
