// Package cut makes one state of all components, captured at one instant between
// units of work.
package cut

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/barrier"
	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// A Source is a component as a part of the set.
type Source interface {
	ID() string
	Mark() component.Mark
	Capture(ctx context.Context) (component.Capture, error)
	Freeze() (encode func() (component.Capture, error), err error) // nil: it cannot be cloned
}

// Config is what a Set is made of.
type Config struct {
	System     *saver.System
	Units      *barrier.Barrier
	Routines   *wait.Routines
	Namespace  string // what precedes an id in the name of a state
	Interval   time.Duration
	PauseLimit time.Duration // a longer pause of the units of work is warned of; negative: never
}

// Set is the components of a Checkpointer as one state. Its Saver saves it like
// any other; the payload is the envelopes of the components, one after the other.
// It implements saver.Subject.
type Set struct {
	Config
	Saver saver.Saver

	// For the capture that is under way, or a restore, which lets none be under way.
	carried []envelope.Entry // of components that are not registered
	warned  time.Duration

	exact atomic.Bool // every part counts its changes

	mu    sync.Mutex // guards what follows and what a part says of itself
	parts []*Part    // in the order of registration
	pause time.Duration
	held  time.Duration // how long the last checkpoint held units of work up
}

// Part is a component as a part of the set.
type Part struct {
	source  Source
	own     *saver.Saver // of its state by itself
	working atomic.Bool  // a callback has not returned

	shot *shot // in the last cut; only the capture that is under way uses it

	// Guarded by the set's mu.
	captured uint64        // change count of the last cut
	stored   uint64        // change count of the last cut that is stored
	bytes    int           // of its state in the last cut
	cost     time.Duration // of its last capture, while units of work were held up
}

// New returns a Set without parts.
func New(c Config) *Set {
	s := &Set{Config: c}
	s.exact.Store(true)
	s.Saver.Init(c.System, s)
	return s
}

// Add makes a component a part of the set; own is the saver of its state by
// itself, from which it may be restored.
func (s *Set) Add(source Source, own *saver.Saver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts = append(s.parts, &Part{source: source, own: own})
	if !source.Mark().Exact {
		s.exact.Store(false) // changes show in its bytes alone
	}
}

// list returns the parts, also while components are being registered.
func (s *Set) list() []*Part {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts
}

func (s *Set) ID() string           { return store.SetID }
func (s *Set) Name() string         { return s.Namespace + store.SetID }
func (s *Set) Every() time.Duration { return s.Interval }

// Mark has a sum of which each addend only grows.
func (s *Set) Mark() component.Mark {
	all := component.Mark{Exact: s.exact.Load(), Fresh: true}
	for _, p := range s.list() {
		m := p.source.Mark()
		all.Changes += m.Changes
		all.Fresh = all.Fresh && m.Fresh
	}
	return all
}

// Settled adds to store.ErrTooLarge who makes the set large.
func (s *Set) Settled(err error) (pause time.Duration, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if store.IsStored(err) {
		for _, p := range s.parts {
			p.stored = p.captured
		}
	}
	if errors.Is(err, store.ErrTooLarge) {
		err = s.explainSize(err)
	}
	pause, s.pause = s.pause, 0
	return pause, err
}

func (s *Set) explainSize(err error) error {
	largest, size := "", -1
	for _, p := range s.parts {
		if p.shot != nil && len(p.shot.raw) > size {
			largest, size = p.source.ID(), len(p.shot.raw)
		}
	}
	return fmt.Errorf("%w; the limit is for the sum of all components, and the largest is %q with %d bytes", err, largest, size)
}

// Status returns what is known of each component, and of the set, last.
func (s *Set) Status() []report.Status {
	whole, uncertain := s.Saver.Status(), s.Saver.Uncertain()
	parts := s.list()
	all := make([]report.Status, 0, len(parts)+1)
	for _, p := range parts { // the lock only for each, since saves need it
		all = append(all, s.statusOf(p, whole, uncertain))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	whole.Pause = s.held
	return append(all, whole)
}

// statusOf is that of the set with what is the part's own.
func (s *Set) statusOf(p *Part, whole report.Status, uncertain bool) report.Status {
	st, own := whole, p.own.StoredStatus()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.ComponentID, st.Pause = p.source.ID(), p.cost
	if whole.Saves == 0 { // what was restored, from wherever
		st.Version, st.SavedAt, st.Bytes = own.Version, own.SavedAt, own.Bytes
	} else {
		st.Bytes = p.bytes
	}
	if own.Err != nil {
		st.Err = own.Err
	}
	st.Changed = p.changed(whole, uncertain)
	return st
}

// changed reports that the part has a change that is not stored, as far as its changes
// are counted. The caller holds the set's mu.
func (p *Part) changed(whole report.Status, uncertain bool) bool {
	if m := p.source.Mark(); m.Exact {
		return m.Changes > p.stored || uncertain
	}
	return whole.Changed
}

// Finish refuses saves for good, and lists whose changes are not in the stored set; all
// if that is not known.
func (s *Set) Finish(why *saver.Reasons) []report.Status {
	uncertain, whole := s.Saver.Uncertain(), s.Saver.Finish(why)
	parts := s.list()
	changed, n := make([]bool, len(parts)), 0
	for i, p := range parts { // the lock only for each: a capture that was given up needs it
		s.mu.Lock()
		changed[i] = p.changed(whole, uncertain)
		s.mu.Unlock()
		if changed[i] {
			n++
		}
	}
	list := make([]report.Status, 0, cmp.Or(n, len(parts)))
	for i, p := range parts {
		if changed[i] || n == 0 {
			st := s.statusOf(p, whole, uncertain)
			st.Changed = true
			list = append(list, st)
		}
	}
	return list
}

// Hold waits for the units of work under way and holds up new ones until Units.Open.
func (s *Set) Hold(ctx context.Context) error {
	if err := s.Units.Close(ctx); err != nil {
		return fmt.Errorf("a unit of work does not end (Do, Commit or Checkpoint inside Do?): %w", err)
	}
	return nil
}

// Carry keeps the envelopes of components that are not registered, as they are, for
// the cuts to come. It must not be called while a capture is under way.
func (s *Set) Carry(entries []envelope.Entry) {
	known := map[string]bool{}
	for _, p := range s.list() {
		known[p.source.ID()] = true
	}
	s.carried = nil
	for _, e := range entries {
		if !known[e.ID] {
			e.Raw = bytes.Clone(e.Raw)
			if e.Deleted() {
				e.Record.Data = nil // it keeps the whole set alive, also if it is empty
			} else {
				e.Record = nil // likewise
			}
			s.carried = append(s.carried, e)
		}
	}
	slices.SortFunc(s.carried, func(a, b envelope.Entry) int { return strings.Compare(a.ID, b.ID) })
	if ids := s.Unregistered(); len(ids) > 0 {
		s.System.Log.Warn("durable: the set has components that are not registered; their state is kept as it is", "components", ids)
	}
}

// Unregistered names the components whose state the set keeps for others.
func (s *Set) Unregistered() (ids []string) {
	for i := range s.carried {
		if !s.carried[i].Deleted() {
			ids = append(ids, s.carried[i].ID)
		}
	}
	return ids
}

// Taken is what a restore took for one part.
type Taken struct {
	Stored  bool   // it is the stored state,
	Changes uint64 // up to this change count
}

// Open lets the set be saved after a restore under epoch, which found snap, or nil,
// with the fence f, and took for its parts, in their order, what parts says.
func (s *Set) Open(epoch uint64, f store.Fence, snap *store.Snapshot, parts []Taken) {
	accepted := saver.Accepted{Fence: f, Snapshot: snap}
	fresh, any := true, snap != nil
	s.mu.Lock()
	for i, p := range s.parts {
		p.shot, p.stored = nil, 0
		if t := parts[i]; t.Stored {
			p.stored, any = t.Changes, true
		} else {
			fresh = fresh && p.source.Mark().Fresh
		}
		p.captured = p.stored
		accepted.Changes += p.stored
	}
	s.mu.Unlock()
	accepted.Exists = fresh && any
	s.Saver.Open(epoch, accepted)
}
