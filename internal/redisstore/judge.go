package redisstore

import (
	"context"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// An inspection is what stands at the state key of a component that no fence
// knows to be saved, so that a script can judge it. The zero value is: not looked.
type inspection struct {
	kind    string // "snapshot", "plain", "damaged", "foreign"
	size    int
	sha1    string
	attempt store.Attempt
}

func (i inspection) args() []any {
	return []any{i.kind, i.size, i.sha1, digits(i.attempt.Epoch), digits(i.attempt.Version), i.attempt.WriteID}
}

// inspect looks at the state of id itself.
func (s *Store) inspect(ctx context.Context, id string) (inspection, error) {
	v, err := s.look(ctx, s.keys(id))
	if err != nil {
		return inspection{}, err
	}
	i := inspection{kind: "foreign", size: v.size, sha1: sha1hex(v.value)}
	if v.size > len(v.value) {
		return i, nil // too large to be ours
	}
	snap, err := envelope.Decode(id, v.value)
	_, isPlain := envelope.Plain(v.value)
	switch {
	case err == nil:
		i.kind, i.attempt = "snapshot", snap.Attempt()
	case envelope.HasMagic(v.value):
		i.kind = "damaged"
	case isPlain:
		i.kind = "plain"
	}
	return i, nil
}

// A call is one operation on one component. Every job that it makes is a copy of
// the same operation.
type call interface {
	usual() bool           // quick may do
	quick() *job           // a part of a batch
	build(inspection) *job // a script of its own, with what was seen of the component
}

// judge tries c as a part of a batch and runs its script when the component needs
// that, with an inspection as soon as the script asks for one.
func (s *Store) judge(ctx context.Context, id string, d *doubt, c call) (answer, error) {
	if c.usual() {
		if a, err := s.ask(ctx, d, c.quick); err != nil || a.code() != "SLOW" {
			return a, err
		}
	}
	var seen inspection
	for {
		a, err := s.ask(ctx, d, func() *job { return c.build(seen) })
		if err != nil || a.code() != "INSPECT" {
			return a, err
		}
		if seen, err = s.inspect(ctx, id); err != nil {
			return nil, err
		}
		if seen.size == 0 && seen.kind == "foreign" { // empty or gone: nothing worth keeping
			seen.kind = "damaged"
		}
	}
}

func (s *Store) errForeign(id string) error {
	return errLasting("the key %q holds a value that is neither a snapshot nor a JSON object, which is left alone: choose another key prefix or remove it", s.keys(id).state)
}
