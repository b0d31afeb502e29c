package adapter

import (
	"context"

	"github.com/durablestate/durable/internal/store"
)

// What a store.Quarantine holds looks like states under ids of their own, which can
// be listed, read and deleted, but not saved.

// damagedVersion is the one version of what is set aside.
const damagedVersion = 1

func (a *Adapter) quarantine(ctx context.Context, name string) (store.Quarantine, error) {
	if err := a.ready(ctx); err != nil {
		return nil, err
	}
	if q, ok := a.Store.(store.Quarantine); ok {
		return q, nil
	}
	return nil, store.Answer(store.Fence{}, store.ErrNotFound, "this store sets nothing aside as %q", name)
}

func (a *Adapter) loadDamaged(ctx context.Context, name string) (*store.Snapshot, error) {
	q, err := a.quarantine(ctx, name)
	if err != nil {
		return nil, err
	}
	b, err := q.ReadDamaged(ctx, name)
	if err != nil {
		return nil, err
	}
	return &store.Snapshot{Version: damagedVersion, LastVersion: damagedVersion, Codec: store.RawCodec, Data: b}, nil
}

func (a *Adapter) removeDamaged(ctx context.Context, name string) error {
	q, err := a.quarantine(ctx, name)
	if err != nil {
		return err
	}
	return q.RemoveDamaged(ctx, name)
}

func (a *Adapter) listDamaged(ctx context.Context, yield func(string, error) bool) {
	q, err := a.quarantine(ctx, "")
	if err != nil { // it holds none
		return
	}
	for name, err := range q.ListDamaged(ctx) {
		if !yield(store.DamagedPrefix+name, err) || err != nil {
			return
		}
	}
}
