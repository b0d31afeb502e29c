package redisstore

import (
	"context"
	"math"

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
	two := [3]string{k.state, k.fence}
	it := &item{op: "c", subject: digits(epoch)}
	a, err := s.judged(ctx, id, new(doubt), func() *job {
		return &job{item: it, keys: two, durable: true, size: 512}
	}, func(i inspection) *job {
		return &job{script: claimScript, keys: two, args: append([]any{it.subject}, i.args()...), durable: true, size: 512}
	})
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

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, id string) error {
	ctx, cancel := bound(ctx, saveTime, 0)
	defer cancel()
	f, err := s.Fence(ctx, id)
	if err != nil {
		return err
	}
	for d, call := new(doubt), name(); ; {
		if f.Epoch == math.MaxUint64 {
			return store.Answer(f, store.ErrConflict, "no epoch is left above %d", f.Epoch)
		}
		a, err := s.judged(ctx, id, d, nil, s.deleteJob(s.keys(id), f, call))
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

func (s *Store) deleteJob(k keys, f store.Fence, call string) func(inspection) *job {
	return func(i inspection) *job {
		args := append([]any{digits(f.Epoch), digits(f.Version), digits(f.Epoch + 1), call}, i.args()...)
		return &job{script: deleteScript, keys: [3]string{k.state, k.fence}, args: args, durable: true}
	}
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
