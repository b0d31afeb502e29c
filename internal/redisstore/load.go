package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// looks is how often a load starts over because the component changed under it.
const looks = 4

// Load implements store.Store. The quick way is one round trip and is taken only
// by a state that verifies and is the one that the record names; whatever else
// is found is looked at again in one atomic step.
func (s *Store) Load(ctx context.Context, id string) (*store.Snapshot, error) {
	ctx, cancel := bound(ctx, loadTime, 0)
	defer cancel()
	k, mark := s.keys(id), s.acked.mark(id)
	v, err := s.view(ctx, k, s.limit())
	if err != nil {
		return nil, err
	}
	found := v.effective(id).Version
	s.acked.saw(id, mark, found, found)
	if snap, err := s.current(id, v); err == nil && v.rec.saved() {
		snap.LastVersion = v.rec.fence.Version
		return snap, nil
	}
	for range looks {
		if v, err = s.look(ctx, k); err != nil {
			return nil, err
		}
		snap, err := s.settle(ctx, id, k, v)
		if err != errMoved {
			return snap, err
		}
	}
	return nil, errBusy
}

var errBusy = fmt.Errorf("the component changed %d times while it was read: try again when it is saved less often", looks)

// errMoved reports that generations were pruned while they were read.
var errMoved = errors.New("changed meanwhile")

// settle answers a load from a view in which state and record belong together.
func (s *Store) settle(ctx context.Context, id string, k keys, v *view) (*store.Snapshot, error) {
	f := v.effective(id)
	if !v.exists {
		return nil, absent(v)
	}
	snap, err := s.current(id, v)
	switch {
	case err == nil:
		snap.LastVersion = f.Version
		return snap, nil
	case !errors.Is(err, store.ErrCorrupt):
		return nil, store.Answer(f, err, "")
	}
	s.acked.distrust(id)
	return s.fallBack(ctx, id, k, v, err)
}

// absent says why there is no state.
func absent(v *view) error {
	f := v.rec.fence
	switch {
	case !v.rec.saved():
		return store.Answer(f, store.ErrNotFound, "")
	case !v.rec.expires.IsZero() && !v.now.Before(v.rec.expires):
		return store.Answer(f, store.ErrExpired, "version %d, at %s by the server's clock", f.Version, v.rec.expires.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	return store.Answer(f, store.ErrLost, "version %d; was it evicted? set maxmemory-policy noeviction", f.Version)
}

// fallBack returns the newest older generation that verifies. The others are set
// aside, so that they do not count towards Keep.
func (s *Store) fallBack(ctx context.Context, id string, k keys, v *view, newest error) (*store.Snapshot, error) {
	var bad []generation
	defer func() { s.setAside(ctx, k, v.rec, bad) }()
	gone := 0
	for _, g := range v.rec.generations {
		value, err := s.stored(ctx, k, g)
		if err != nil {
			return nil, err
		}
		if value == nil {
			gone++
			continue
		}
		snap, err := verify(id, g, value)
		switch {
		case err == nil:
			snap.LastVersion = v.rec.fence.Version
			return snap, nil
		case !errors.Is(err, store.ErrCorrupt):
			return nil, store.Answer(v.rec.fence, err, "")
		}
		bad = append(bad, g)
	}
	if gone > 0 {
		again, err := s.look(ctx, k)
		if err != nil {
			return nil, err
		}
		if again.rec.list != v.rec.list {
			return nil, errMoved
		}
	}
	detail := strings.TrimPrefix(newest.Error(), store.ErrCorrupt.Error()+": ")
	return nil, store.Answer(v.rec.fence, store.ErrCorrupt, "newest: %s; %d older generations do not verify", detail, len(bad))
}

func verify(id string, g generation, value []byte) (*store.Snapshot, error) {
	if g.version == digits(0) {
		if snap, ok := envelope.Plain(value); ok {
			return snap, nil
		}
	}
	snap, err := envelope.Decode(id, value)
	if err == nil && (digits(snap.Version) != g.version || snap.WriteID != g.writeID) {
		err = fmt.Errorf("%w: it is version %d instead of %s", store.ErrCorrupt, snap.Version, trimZeros(g.version))
	}
	return snap, err
}

// stored reads the bytes of a generation, nil when they are gone.
func (s *Store) stored(ctx context.Context, k keys, g generation) ([]byte, error) {
	return s.readSide(ctx, k, k.generation(g))
}

// readSide reads the bytes at one of the side keys k, nil when there are none.
func (s *Store) readSide(ctx context.Context, k keys, key string) ([]byte, error) {
	j, err := s.read(ctx, &job{keys: [3]string{key, k.fence}, read: s.limit()})
	if err != nil {
		return nil, wrongType(k, err)
	}
	if j.value.Val() == "" {
		return nil, nil
	}
	return []byte(j.value.Val()), nil
}

// setAside moves generations that do not verify out of the list. It is a service
// to the next save: a failure costs nothing but the room they take in Keep.
func (s *Store) setAside(ctx context.Context, k keys, rec *record, bad []generation) {
	if len(bad) == 0 || store.Observing(ctx) {
		return
	}
	args := []any{rec.list}
	for _, g := range bad {
		args = append(args, g.entry)
	}
	_, _ = s.ask(ctx, new(doubt), func() *job {
		return &job{script: setAsideScript, keys: [3]string{k.state, k.fence}, args: args}
	})
}
