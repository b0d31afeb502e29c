package saver

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// NoteSetUp remembers the changes that made the state to start from. Should the
// state never be restored, they are no loss.
func (s *Saver) NoteSetUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ever {
		r := s.rare()
		r.setUp, r.asked = s.subject.Mark().Changes, true
	}
}

// Quiesce closes the gate to saves and waits for the one under way.
func (s *Saver) Quiesce(ctx context.Context) error {
	s.mu.Lock()
	if !s.ever {
		s.mu.Unlock()
		return nil
	}
	s.enter(unrestored, nil)
	idle := s.line.Idle()
	s.mu.Unlock()
	if idle {
		return nil // whoever asks from here on meets the gate
	}
	f := s.FinalRequest() // flights come to their ends in order, and this one at the gate
	if _ = f.Wait(ctx); !f.Over() {
		return s.Fail("restore", fmt.Errorf("a save is still under way: %w", ctx.Err()))
	}
	return nil
}

// KeepStart remembers start, the state to start from when none is stored.
func (s *Saver) KeepStart(start *store.Snapshot) {
	s.mu.Lock()
	s.rare().start = start
	s.mu.Unlock()
}

// Start returns the state to start from, nil for the zero state.
func (s *Saver) Start() *store.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known().start
}

// SaveAbove makes the saves to come newer than what another place accepted: f.
func (s *Saver) SaveAbove(f store.Fence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copy.used = max(s.copy.used, f.Version)
	epoch, err := f.NextEpoch()
	if err != nil {
		epoch = f.Epoch // the version has to tell
	}
	s.copy.epoch = max(s.copy.epoch, epoch)
}

// Raise makes epoch the lowest of the saves to come, where no lease says it.
func (s *Saver) Raise(epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copy.epoch = max(s.copy.epoch, epoch)
}

// Accepted is what a restore took for the state.
type Accepted struct {
	Fence    store.Fence     // as the load told it
	Snapshot *store.Snapshot // that was stored; nil: none
	Exists   bool            // and that is the state, up to the change count Changes
	Changes  uint64
}

// Open lets the state be saved. Its first save, within the first interval, is under
// the new epoch also if nothing changed. taken is the epoch of the lease.
func (s *Saver) Open(taken uint64, a Accepted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.extras; r != nil {
		*r = extras{start: r.start, backoff: r.backoff, unsaved: r.unsaved}
		s.trim()
	}
	c := Copy{epoch: s.sys.Ownership.EpochFor(taken, max(a.Fence.Epoch, s.copy.epoch)), used: max(s.copy.used, a.Fence.Version), exists: a.Exists, changes: a.Changes}
	if snap := a.Snapshot; snap != nil {
		c.version, c.bytes, c.savedAt = snap.Version, len(snap.Data), unixNano(snap.SavedAt)
	}
	s.copy, s.lastCurrent, s.ever = c, s.sys.instant(time.Now()), true
	if a.Exists && a.Snapshot != nil && a.Snapshot.Codec != envelope.SetCodec && !s.subject.Mark().Exact {
		s.rare().digest = sha256.Sum256(a.Snapshot.Data)
	}
	s.enter(open, nil)
}
