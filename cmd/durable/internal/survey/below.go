package survey

import (
	"context"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/store"
)

// goOn returns nil for an error that says that what was to be stored is stored, but
// less durably than configured. It is told once: a command goes on, as a program does.
func (s *Store) goOn(err error) error {
	if store.ClassOf(err) != store.BelowLevel {
		return err
	}
	s.told.Do(func() {
		if s.Say != nil {
			s.Say("what was written is stored, but less durably than configured: %v", err)
		}
	})
	return nil
}

// SaveState implements [durable.StateAdapter].
func (s *Store) SaveState(ctx context.Context, id string, snap *durable.Snapshot) error {
	return s.goOn(s.StateAdapter.SaveState(ctx, id, snap))
}

// DeleteState implements [durable.StateAdapter].
func (s *Store) DeleteState(ctx context.Context, id string) error {
	return s.goOn(s.StateAdapter.DeleteState(ctx, id))
}

// ClaimState implements [durable.Owner].
func (s *Store) ClaimState(ctx context.Context, id string, epoch uint64) error {
	return s.goOn(s.Owner.ClaimState(ctx, id, epoch))
}

// AcquireLease implements [durable.Owner].
func (s *Store) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	l, err := s.Owner.AcquireLease(ctx, name, holder, ttl)
	return l, s.goOn(err)
}

// RenewLease implements [durable.Owner].
func (s *Store) RenewLease(ctx context.Context, l *durable.Lease) error {
	return s.goOn(s.Owner.RenewLease(ctx, l))
}

// ReleaseLease implements [durable.Owner].
func (s *Store) ReleaseLease(ctx context.Context, l *durable.Lease) error {
	return s.goOn(s.Owner.ReleaseLease(ctx, l))
}
