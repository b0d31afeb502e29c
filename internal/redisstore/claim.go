package redisstore

import (
	"context"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// Fence implements store.Store.
func (s *Store) Fence(ctx context.Context, id string) (store.Fence, error) {
	ctx, cancel := bound(ctx, loadTime, 0)
	defer cancel()
	mark := s.acked.mark(id)
	v, err := s.view(ctx, s.keys(id), envelope.MaxHeaderLen)
	if err != nil {
		return store.Fence{}, err
	}
	f := v.effective(id)
	s.acked.saw(id, mark, f.Version, f.Version)
	return f, nil
}

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, id string, epoch uint64) error {
	ctx, cancel := bound(ctx, saveTime, 0)
	defer cancel()
	k := s.keys(id)
	c := &claiming{keys: [3]string{k.state, k.fence}, item: item{op: "c", subject: digits(epoch)}}
	a, err := s.judge(ctx, id, new(doubt), c)
	switch {
	case err != nil:
		return err
	case a.code() == "FENCED":
		f := fenceOf(a)
		return store.Answer(f, store.ErrFenced, "epoch %d is below %d", epoch, f.Epoch)
	case a.code() != "OK":
		return errAnswer(a)
	}
	return nil
}

type claiming struct {
	keys [3]string
	item item
}

func (c *claiming) usual() bool { return true }

func (c *claiming) quick() *job {
	return &job{item: &c.item, keys: c.keys, durable: true, owns: true, size: 512}
}

func (c *claiming) build(i inspection) *job {
	return &job{script: claimScript, keys: c.keys, args: append([]any{c.item.subject}, i.args()...), durable: true, owns: true, size: 512}
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, id string) error {
	ctx, cancel := bound(ctx, saveTime, 0)
	defer cancel()
	f, err := s.Fence(ctx, id)
	if err != nil {
		return err
	}
	k := s.keys(id)
	for d, call := new(doubt), name(); ; {
		epoch, err := f.NextEpoch()
		if err != nil {
			return err
		}
		a, err := s.judge(ctx, id, d, &deleting{[3]string{k.state, k.fence}, f, epoch, call})
		if err != nil {
			return err
		}
		f = fenceOf(a)
		switch {
		case a.code() == "OK":
			return nil
		case a.code() == "FOREIGN":
			return s.errForeign(id)
		case a.code() != "CHANGED":
			return errAnswer(a)
		case d.unknown:
			return store.Answer(f, store.ErrConflict, "somebody saved or deleted meanwhile, and whether this call deleted before that is not known")
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

// A deleting is never usual.
type deleting struct {
	keys  [3]string
	found store.Fence
	epoch uint64 // after it
	name  string
}

func (c *deleting) usual() bool { return false }

func (c *deleting) quick() *job { return nil }

func (c *deleting) build(i inspection) *job {
	args := append([]any{digits(c.found.Epoch), digits(c.found.Version), digits(c.epoch), c.name}, i.args()...)
	return &job{script: deleteScript, keys: c.keys, args: args, durable: true}
}

// effective returns the fence of what was seen: the record, or the header of the
// state when the record is gone.
func (v *view) effective(id string) store.Fence {
	f := v.rec.fence
	if f.Version != 0 {
		return f
	}
	if h, err := envelope.ParseHeader(v.value); err == nil && h.ID == id && h.Kind == envelope.Snapshot {
		f.Epoch, f.Version = max(f.Epoch, h.Epoch), h.Version
	}
	return f
}
