package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// A view is a component as a server showed it.
type view struct {
	rec    *record
	value  []byte // of the state key, at most the limit that was asked for
	size   int    // of the whole value; only from look
	exists bool   // only from look
	now    time.Time
}

// limit is how many bytes of a state are read at most: one more than may be.
func (s *Store) limit() int { return int(s.maxBytes) + envelope.MaxOverhead + 1 }

// view reads the state key and the record beside it, which need not belong
// together: whoever finds that they do not must look.
func (s *Store) view(ctx context.Context, k keys, limit int) (*view, error) {
	j, err := s.read(ctx, &job{keys: [3]string{k.state, k.fence}, read: limit, wantsFence: true})
	if err != nil && hasCode(err, "WRONGTYPE") {
		return s.look(ctx, k) // which says what it is, and reads the fences of format 1
	}
	if err != nil {
		return nil, err
	}
	rec, err := parseRecord(j.line.Val())
	return &view{rec: rec, value: []byte(j.value.Val())}, err
}

// read makes the reading try that what describes until it succeeds.
func (s *Store) read(ctx context.Context, what *job) (*job, error) {
	what.size = min(what.read, int(s.typical.Load()))
	return s.try(ctx, s.reads, new(doubt), func() *job {
		j := *what
		return &j
	})
}

func wrongType(k keys, err error) error {
	if hasCode(err, "WRONGTYPE") {
		return errLasting("the key %q or %q holds another type of value: choose another key prefix or remove it: %w", k.state, k.fence, err)
	}
	return err
}

// look reads state and record in one atomic step, with an explicit answer to the
// question whether there is a state.
func (s *Store) look(ctx context.Context, k keys) (*view, error) {
	a, err := s.ask(ctx, new(doubt), func() *job {
		return &job{script: lookScript, keys: [3]string{k.state, k.fence}, args: []any{s.limit()}}
	})
	if err != nil {
		return nil, err
	}
	if len(a) != 6 {
		return nil, errAnswer(a)
	}
	rec, err := parseRecord(a[5])
	if err != nil {
		return nil, err
	}
	ms, err1 := strconv.ParseInt(a[1], 10, 64)
	size, err2 := strconv.Atoi(a[3])
	return &view{rec: rec, value: []byte(a[4]), size: size, exists: a[2] == "1", now: time.UnixMilli(ms)}, errors.Join(err1, err2)
}

// current returns the state of the view if it is the one that the record names,
// or, where the record knows of no save, a state that stands on its own.
func (s *Store) current(id string, v *view) (*store.Snapshot, error) {
	if len(v.value) >= s.limit() {
		return nil, fmt.Errorf("%w: the stored value is above %d bytes; raise MaxStateBytes", store.ErrTooLarge, s.maxBytes)
	}
	snap, err := envelope.Decode(id, v.value)
	never := v.rec.fence.Version == 0
	switch {
	case err != nil && never && !envelope.HasMagic(v.value):
		if p, ok := envelope.Plain(v.value); ok {
			return p, nil
		}
		return nil, err
	case err != nil:
		return nil, err
	case never || snap.Attempt() == v.rec.attempt && v.rec.saved():
		return snap, nil
	}
	return nil, fmt.Errorf("%w: the stored state (epoch %d, version %d) is not the one that was saved last", store.ErrCorrupt, snap.Epoch, snap.Version)
}
