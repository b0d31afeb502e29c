package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// inline is the largest value that passes through Lua.
const inline = 64 << 10

// Save implements store.Store.
func (s *Store) Save(ctx context.Context, id string, snap *store.Snapshot) error {
	if int64(len(snap.Data)) > s.maxBytes { // no load would accept it
		return fmt.Errorf("%w: %d bytes, the limit is %d", store.ErrTooLarge, len(snap.Data), s.maxBytes)
	}
	var value []byte
	if snap.Data != nil {
		var err error
		if value, err = envelope.Append(nil, &envelope.Record{ID: id, Kind: envelope.Snapshot, Snapshot: *snap}); err != nil {
			return err
		}
	}
	ctx, cancel := bound(ctx, saveTime, len(value))
	defer cancel()
	build := s.saveJob(s.keys(id), snap.Attempt(), value)
	mark := s.acked.mark(id)
	a, err := s.judged(ctx, id, new(doubt), build)
	if a.code() == "OK" {
		found := fenceOf(a).Version
		s.acked.saw(id, mark, found, max(found, snap.Version))
	}
	if err != nil {
		return err
	}
	return s.saved(id, snap, a)
}

func (s *Store) saveJob(k keys, a store.Attempt, value []byte) func(inspection) *job {
	how, inlined, staged := "none", []byte(nil), []byte(nil)
	switch {
	case len(value) > inline:
		how, staged = "staged", value
	case value != nil:
		how, inlined = "inline", value
	}
	keys := []string{k.state, k.fence(), k.stage(a.WriteID)}
	args := []any{digits(a.Epoch), digits(a.Version), a.WriteID, name(), s.ttl.Milliseconds(), s.keep, len(value), sha1hex(value), how, inlined}
	return func(i inspection) *job {
		return &job{script: saveScript, keys: keys, args: append(args[:len(args):len(args)], i.args()...),
			stage: staged, durable: true, size: len(value) + 512}
	}
}

func (s *Store) saved(id string, snap *store.Snapshot, a answer) error {
	f := fenceOf(a)
	switch a.code() {
	case "OK":
		return nil
	case "FENCED":
		return store.Answer(f, store.ErrFenced, "epoch %d is below %d", snap.Epoch, f.Epoch)
	case "CONFLICT":
		return store.Answer(f, store.ErrConflict, "version %d is not above %d, or is another save", snap.Version, f.Version)
	case "LOST":
		s.acked.lose()
		return store.Answer(f, store.ErrLost, "version %d is not stored", snap.Version)
	case "FOREIGN":
		return s.errForeign(id)
	}
	return errAnswer(a)
}

func errAnswer(a answer) error {
	return errors.New("the server gave an unexpected answer to a script: " + a.code())
}
