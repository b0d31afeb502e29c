package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs"
)

// ListDamaged implements store.Quarantine: the commits that were set aside.
func (s *Store) ListDamaged(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names, err := s.dir.List()
		if err != nil {
			yield("", s.told(err))
			return
		}
		for _, name := range names {
			rest, aside := strings.CutPrefix(name, quarantinePrefix)
			if _, ok := parseCommitName(rest); aside && ok && !yield(rest, ctx.Err()) {
				return
			}
		}
	}
}

// ReadDamaged implements store.Quarantine.
func (s *Store) ReadDamaged(_ context.Context, name string) ([]byte, error) {
	file, err := asideName(name)
	if err != nil {
		return nil, err
	}
	f, err := s.dir.Open(file)
	if err != nil {
		return nil, s.toldAside(name, err)
	}
	defer f.Close()
	size, err := f.Size()
	if err == nil && s.opts.MaxBytes > 0 && size > s.opts.MaxBytes+envelope.MaxOverhead {
		err = fmt.Errorf("%w: %s has %d bytes, the limit is %d", store.ErrTooLarge, file, size, s.opts.MaxBytes)
	}
	if err != nil {
		return nil, s.told(err)
	}
	return readAt(f, 0, size)
}

// RemoveDamaged implements store.Quarantine.
func (s *Store) RemoveDamaged(_ context.Context, name string) error {
	file, err := asideName(name)
	if err == nil {
		err = s.inPlace()
	}
	if err == nil {
		err = s.toldAside(name, s.dir.Remove(file))
	}
	if err == nil {
		err = s.dir.Sync()
	}
	if errors.Is(err, vfs.ErrSyncUnsupported) {
		err = nil
	}
	return s.told(err)
}

func asideName(name string) (file string, err error) {
	if _, ok := parseCommitName(name); !ok {
		return "", notAside(name)
	}
	return quarantinePrefix + name, nil
}

func (s *Store) toldAside(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return notAside(name)
	}
	return s.told(err)
}

func notAside(name string) error {
	return store.Answer(store.Fence{}, store.ErrNotFound, "no damaged bytes are set aside as %q", name)
}
