package memstore

import (
	"context"
	"time"

	"github.com/durablestate/durable/internal/store"
)

// AcquireLease implements [store.Store].
func (m *Store) AcquireLease(_ context.Context, name, holder string, ttl time.Duration, atLeast uint64) (*store.Lease, error) {
	return m.lease(name, func(stored *store.Lease) (*store.Lease, error) {
		return store.TakeLease(stored, false, name, holder, ttl, atLeast, time.Now())
	})
}

// RenewLease implements [store.Store].
func (m *Store) RenewLease(_ context.Context, l *store.Lease) (*store.Lease, error) {
	return m.lease(l.Name, func(stored *store.Lease) (*store.Lease, error) {
		return store.RenewedLease(stored, l, time.Now())
	})
}

// ReleaseLease implements [store.Store].
func (m *Store) ReleaseLease(_ context.Context, l *store.Lease) (*store.Lease, error) {
	return m.lease(l.Name, func(stored *store.Lease) (*store.Lease, error) {
		return store.ReleasedLease(stored, l, time.Now())
	})
}

// LoadLease implements [store.Store].
func (m *Store) LoadLease(_ context.Context, name string) (*store.Lease, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	l, ok := m.leases[name]
	if !ok {
		return nil, store.ErrNotFound
	}
	return &l, nil
}

// lease replaces the record of name by what next makes of it.
func (m *Store) lease(name string, next func(stored *store.Lease) (*store.Lease, error)) (*store.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var stored *store.Lease
	if l, ok := m.leases[name]; ok {
		stored = &l
	}
	l, err := next(stored)
	if err != nil {
		return nil, err
	}
	m.leases[name] = *l
	return l, nil
}
