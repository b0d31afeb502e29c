package redisstore

import (
	"context"
	"iter"
	"strconv"
	"strings"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// What lua/prelude.lua set aside of a component is named <n>/<id>.

// ListDamaged implements store.Quarantine.
func (s *Store) ListDamaged(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		ctx, cancel := bound(ctx, listTime, 0)
		defer cancel()
		names := map[string]bool{}
		err := s.scanKeys(ctx, func(key string) {
			fence, n, ok := strings.Cut(key, "}:x:")
			if id, ours := s.idOf(fence + "}:f"); ok && ours && envelope.ValidID(id) {
				names[n+"/"+id] = true
			}
		})
		if err != nil {
			yield("", s.word(err))
			return
		}
		for name := range names {
			if _, ok := s.asideKey(name); ok && !yield(name, nil) {
				return
			}
		}
	}
}

// asideKey returns the key of what was set aside under that name.
func (s *Store) asideKey(name string) (string, bool) {
	digits, id, _ := strings.Cut(name, "/")
	n, err := strconv.ParseUint(digits, 10, 64)
	ok := err == nil && n > 0 && strconv.FormatUint(n, 10) == digits && envelope.ValidID(id)
	return s.keys(id).side + "x:" + digits, ok
}

// ReadDamaged implements store.Quarantine.
func (s *Store) ReadDamaged(ctx context.Context, name string) ([]byte, error) {
	key, ok := s.asideKey(name)
	if !ok {
		return nil, notAside(name)
	}
	ctx, cancel := bound(ctx, loadTime, 0)
	defer cancel()
	_, id, _ := strings.Cut(name, "/")
	b, err := s.readSide(ctx, s.keys(id), key)
	if err == nil && b == nil {
		err = notAside(name)
	}
	return b, err
}

// RemoveDamaged implements store.Quarantine.
func (s *Store) RemoveDamaged(ctx context.Context, name string) error {
	key, ok := s.asideKey(name)
	if !ok {
		return notAside(name)
	}
	ctx, cancel := bound(ctx, saveTime, 0)
	defer cancel()
	n, err := await(ctx, s, func() (int64, error) { return s.client.Del(ctx, key).Result() })
	if err != nil {
		return s.word(err)
	}
	if n == 0 {
		return notAside(name)
	}
	return nil
}

func notAside(name string) error {
	return store.Answer(store.Fence{}, store.ErrNotFound, "no damaged bytes are set aside as %q", name)
}
