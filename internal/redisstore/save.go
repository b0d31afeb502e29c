package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

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
	suspect := s.acked.distrusts(id)
	if suspect {
		seen, err := s.inspect(ctx, id)
		if err != nil {
			return err
		}
		quick, build = nil, judging(seen, build)
	}
	mark := s.acked.mark(id)
	a, err := s.judged(ctx, id, new(doubt), quick, build)
	if a.code() == "OK" {
		found := fenceOf(a).Version
		s.acked.saw(id, mark, found, max(found, snap.Version))
	}
	if err != nil {
		return err
	}
	if suspect {
		s.acked.trust(id)
	}
	recycle(value) // every try has ended, else there were an error
	return s.saved(id, snap, a)
}

// saveJob returns how a save, or a refresh without a value, is made: as a part of
// a batch, unless it is large, and by a script of its own. Both are the same call.
func (s *Store) saveJob(k keys, a store.Attempt, value []byte) (quick func() *job, build func(inspection) *job) {
	size := len(value) + 512
	op := saveOp(value)
	it := &item{op: op, subject: value}
	switch {
	case value == nil:
		it = &item{op: "t", subject: digits(a.Epoch) + " " + digits(a.Version) + " " + a.WriteID}
	case len(value) > inline:
		it = nil
	}
	if it != nil {
		quick = func() *job { return &job{item: it, keys: [3]string{k.state, k.fence}, durable: true, size: size} }
	}
	return quick, func(i inspection) *job {
		how, ones, inlined, staged := "none", "", []byte(nil), []byte(nil)
		switch {
		case len(value) > inline:
			how, staged = "staged", value
		case value != nil:
			how, ones, inlined = "inline", op[1+callLen:], value
		}
		args := []any{digits(a.Epoch), digits(a.Version), a.WriteID, op[1 : 1+callLen], s.ttl.Milliseconds(), s.keep, len(value), ones, how, inlined}
		return &job{script: saveScript, keys: [3]string{k.state, k.fence, k.stage(a.WriteID)}, args: append(args, i.args()...),
			stage: staged, durable: true, size: size}
	}
}

const callLen = 12

// saveOp returns what tells the batch script of a save: "s", a fresh name of the
// call and, unless the value is large, how many of its bits are set.
func saveOp(value []byte) string {
	b := append(make([]byte, 0, 1+callLen+20), 's')
	b = appendName(b)
	if len(value) <= inline {
		b = appendDigits(b, setBits(value), 10)
	}
	return string(b)
}

// setBits counts them: a checksum that servers compute without a script that
// holds the bytes.
func setBits(b []byte) (n uint64) {
	for ; len(b) >= 8; b = b[8:] {
		n += uint64(bits.OnesCount64(binary.LittleEndian.Uint64(b)))
	}
	for _, c := range b {
		n += uint64(bits.OnesCount8(c))
	}
	return n
}

// judging has build told what was seen before the script asks.
func judging(seen inspection, build func(inspection) *job) func(inspection) *job {
	return func(i inspection) *job {
		if i == (inspection{}) {
			i = seen
		}
		return build(i)
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
