package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

const (
	inline     = 64 << 10 // the largest value that passes through Lua
	headerRoom = 384      // more than the header of most envelopes
)

// Save implements store.Store.
func (s *Store) Save(ctx context.Context, id string, snap *store.Snapshot) error {
	if !envelope.Fits(snap, s.maxBytes) { // no load would accept it
		return fmt.Errorf("%w: %d bytes, the limit is %d; raise MaxStateBytes or keep less state", store.ErrTooLarge, len(snap.Data), s.maxBytes)
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
	v := &saving{s: s, keys: s.keys(id), attempt: snap.Attempt(), value: value, op: saveOp(value), ttl: s.lifetime(id), keep: store.Kept(ctx, s.keep)}
	suspect := s.acked.distrusts(id)
	if suspect {
		var err error
		if v.seen, err = s.inspect(ctx, id); err != nil {
			return err
		}
	}
	mark := s.acked.mark(id)
	a, err := s.judge(ctx, id, new(doubt), v)
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

// A saving is one save, or a refresh without a value: a part of a batch, unless it
// is large, and a script of its own. Both are the same call.
type saving struct {
	s       *Store
	keys    keys
	attempt store.Attempt
	value   []byte
	op      string
	ttl     time.Duration
	keep    int        // generations; 0: all
	seen    inspection // before any script asked for one

	first struct { // most savings need no other job
		taken bool
		job
		item
	}
}

// usual: a batch gives all of its states one TTL, and keeps as much of each.
func (v *saving) usual() bool {
	return len(v.value) <= inline && v.seen == (inspection{}) && v.ttl == v.s.ttl && v.keep == v.s.keep
}

func (v *saving) quick() *job {
	j, it := &v.first.job, &v.first.item
	if v.first.taken {
		j, it = &job{}, &item{}
	}
	v.first.taken = true
	*it = item{op: v.op, subject: v.value}
	if v.value == nil {
		*it = item{op: "t", subject: digits(v.attempt.Epoch) + " " + digits(v.attempt.Version) + " " + v.attempt.WriteID}
	}
	*j = job{item: it, keys: [3]string{v.keys.state, v.keys.fence}, durable: true, size: v.size()}
	return j
}

func (v *saving) build(i inspection) *job {
	if i == (inspection{}) {
		i = v.seen
	}
	how, ones, inlined, staged := "none", "", []byte(nil), []byte(nil)
	switch {
	case len(v.value) > inline:
		how, staged = "staged", v.value
	case v.value != nil:
		how, ones, inlined = "inline", v.op[1+callLen:], v.value
	}
	args := []any{digits(v.attempt.Epoch), digits(v.attempt.Version), v.attempt.WriteID, v.op[1 : 1+callLen],
		v.ttl.Milliseconds(), v.keep, len(v.value), ones, how, inlined}
	return &job{script: saveScript, keys: [3]string{v.keys.state, v.keys.fence, v.keys.stage(v.attempt.WriteID)},
		args: append(args, i.args()...), stage: staged, durable: true, size: v.size()}
}

func (v *saving) size() int { return len(v.value) + 512 }

const callLen = 12

// saveOp returns what tells the batch script of a save: "s", a fresh name of the
// call and, unless the value is large, how many of its bits are set.
func saveOp(value []byte) string {
	b := append(make([]byte, 0, 1+callLen+20), 's')
	b = appendName(b)
	if len(value) <= inline {
		b = envelope.AppendPadded(b, setBits(value), 10)
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
	return errors.New("the server gave an unexpected answer to a script, which no Redis gives (is a proxy in between?): " + a.code())
}
