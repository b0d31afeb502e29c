package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

const (
	inline     = 64 << 10 // the largest value that passes through Lua
	headerRoom = 384      // more than the header of most envelopes
)

// Save implements store.Store.
func (s *Store) Save(ctx context.Context, id string, snap *store.Snapshot) error {
	if int64(len(snap.Data)) > s.maxBytes { // no load would accept it
		return fmt.Errorf("%w: %d bytes, the limit is %d", store.ErrTooLarge, len(snap.Data), s.maxBytes)
	}
	var value []byte
	if snap.Data != nil {
		var err error
		if value, err = envelope.Append(room(len(snap.Data)+headerRoom), &envelope.Record{ID: id, Kind: envelope.Snapshot, Snapshot: *snap}); err != nil {
			return err
		}
	}
	ctx, cancel := bound(ctx, saveTime, len(value))
	defer cancel()
	quick, build := s.saveJob(s.keys(id), snap.Attempt(), value)
	mark := s.acked.mark(id)
	a, err := s.judged(ctx, id, new(doubt), quick, build)
	if a.code() == "OK" {
		found := fenceOf(a).Version
		s.acked.saw(id, mark, found, max(found, snap.Version))
	}
	if err != nil {
		return err
	}
	recycle(value) // every try has ended, else there were an error
	return s.saved(id, snap, a)
}

// Buffers of large values are used again: clearing new ones costs as much as the
// checksums.
var buffers sync.Pool

func room(n int) []byte {
	if n > inline {
		if b, ok := buffers.Get().(*[]byte); ok && cap(*b) >= n {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, n)
}

func recycle(b []byte) {
	if cap(b) > inline && cap(b) <= batchBytes*8 {
		buffers.Put(&b)
	}
}

// saveJob returns how a save, or a refresh without a value, is made: as a part of
// a batch, unless it is large, and by a script of its own. Both are the same call.
func (s *Store) saveJob(k keys, a store.Attempt, value []byte) (quick func() *job, build func(inspection) *job) {
	fence, call, sum := k.fence(), name(), ""
	epoch, version := digits(a.Epoch), digits(a.Version)
	it := &item{kind: "touch", subject: epoch + " " + version + " " + a.WriteID}
	how, inlined, staged := "none", []byte(nil), []byte(nil)
	switch {
	case len(value) > inline: // no script computes a digest of as much
		how, staged, it = "staged", value, nil
	case value != nil:
		sum = sha1hex(value)
		it = &item{kind: "save", subject: value, digest: sum, call: call}
		how, inlined = "inline", value
	}
	size := len(value) + 512
	if it != nil {
		keys := []string{k.state, fence}
		quick = func() *job { return &job{item: it, keys: keys, durable: true, size: size} }
	}
	return quick, func(i inspection) *job {
		args := []any{epoch, version, a.WriteID, call, s.ttl.Milliseconds(), s.keep, len(value), sum, how, inlined}
		return &job{script: saveScript, keys: []string{k.state, fence, k.stage(a.WriteID)}, args: append(args, i.args()...),
			stage: staged, durable: true, size: size}
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
