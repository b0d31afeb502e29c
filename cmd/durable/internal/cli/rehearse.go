package cli

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

// part is a component of any program: it takes its state and lets it go.
type part struct {
	id, codec string
	bytes     int64
}

func (*part) SnapshotState() ([]byte, error) { return []byte{}, nil }

func (p *part) RestoreState(data []byte) error {
	p.bytes = int64(len(data))
	if survey.IsSet(p.id) {
		_, err := survey.Members(data)
		return err
	}
	if p.codec == "json" && !json.Valid(data) {
		return errors.New("the state is not the JSON that it says it is")
	}
	return nil
}

// rehearsal is an adapter that reads from a store and saves nothing. Its
// component ids are positions in ids, because a Checkpointer registers no id
// with a system in it.
type rehearsal struct {
	s     *survey.Store
	ids   []string
	parts []part
	bar   *ui.Progress
}

func (r *rehearsal) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	i, err := strconv.Atoi(id)
	if err != nil {
		return nil, durable.ErrNotFound
	}
	snap, err := r.s.LoadState(ctx, r.ids[i])
	if v := survey.VerdictOf(err); v == survey.Unreadable {
		return nil, &unreadable{err}
	} else if err != nil {
		return nil, err
	}
	r.bar.Step(int64(len(snap.Data)))
	r.parts[i].codec = snap.Codec
	snap.Schema = 0 // only the program knows how to migrate
	return snap, nil
}

func (r *rehearsal) SaveState(context.Context, string, *durable.Snapshot) error {
	return errors.New("a drill saves nothing")
}

func (r *rehearsal) DeleteState(context.Context, string) error {
	return errors.New("a drill deletes nothing")
}

func (r *rehearsal) Close() error { return nil }

// unreadable is a failure to read that a Restore does not wait for: a drill says
// what it met.
type unreadable struct{ error }

func (u *unreadable) Unwrap() error { return u.error }

func (u *unreadable) Is(target error) bool { return target == durable.ErrClosed }
