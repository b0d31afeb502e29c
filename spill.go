package durable

import (
	"context"
	"crypto/rand"
	"errors"
	"time"
)

// spill saves the component's final state to the spill adapter, as the version
// that the store would have got next. The next Restore offers it to the store.
func (m *member) spill(ctx context.Context) error {
	start := time.Now()
	s, err := m.capture(ctx)
	if err != nil {
		s = &Snapshot{}
	} else {
		err = m.spillState(ctx, s)
	}
	m.c.event("spill", m, s.Version, len(s.Data), start, err)
	return err
}

// spillState saves s above everything that was ever spilled of the component.
func (m *member) spillState(ctx context.Context, s *Snapshot) (err error) {
	m.mu.Lock()
	s.Epoch, s.Version = m.stored.epoch, m.stored.tried
	m.mu.Unlock()
	s.SavedAt = time.Now()
	for range conflictTries {
		s.Version++
		s.WriteID = rand.Text()
		if err = m.c.opts.Spill.SaveState(ctx, m.name, s); !errors.Is(err, ErrConflict) {
			break
		}
		_, version := fenceOf(nil, err)
		s.Version = max(s.Version, version)
	}
	m.used(s.Version)
	return err
}

// reconcileSpill offers a spilled snapshot to the store, before the component is
// claimed: as the delayed save of the predecessor that it is, the save rule
// decides whether it is newer than what the store has. If it is not, it is set
// aside. A crash at any point leaves the snapshot in at least one of the two.
func (m *member) reconcileSpill(ctx context.Context) error {
	spill := m.c.opts.Spill
	if spill == nil {
		return nil
	}
	s, err := spill.LoadState(ctx, m.name)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrExpired):
		epoch, _ := fenceOf(nil, err)
		m.raise(epoch)
		return nil
	case err != nil && definite(err):
		m.c.log.Error("durable: spilled state cannot be read; it stays where it is", "component", m.id(), "error", err)
		epoch, _ := fenceOf(nil, err)
		m.raise(epoch)
		return nil
	case err != nil:
		return err
	}
	s.LastVersion = 0
	err = m.c.adapter.SaveState(ctx, m.name, s)
	switch {
	case err == nil:
		m.c.log.Info("durable: spilled state was written back", "component", m.id(), "version", s.Version)
	case errors.Is(err, ErrNotDurable):
		return nil // it is in both, and stays in both until it is as durable as configured
	case errors.Is(err, ErrFenced), errors.Is(err, ErrConflict):
		if err := m.setAside(ctx, spill, s); err != nil {
			return err
		}
	default:
		return err
	}
	if err := spill.DeleteState(ctx, m.name); err != nil {
		return err
	}
	return m.reconcileSpill(ctx) // nothing is left but the fence, which the deletion has raised
}
