package adaptertest_test

import (
	"context"
	"errors"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/adaptertest"
)

type moment int

const (
	before      moment = iota // every save
	afterSave                 // one that was accepted
	afterDelete               // one that was accepted
)

type edits struct {
	*Shelf
	when moment
	edit func(*row)
}

func editing(when moment, edit func(*row)) adaptertest.Store {
	return shelf(func(sh *Shelf) edits { return edits{sh, when, edit} })
}

func (d edits) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if d.when == before {
		d.row(id, d.edit)
	}
	err := d.Shelf.SaveState(ctx, id, s)
	if d.when == afterSave && err == nil {
		d.row(id, d.edit)
	}
	return err
}

func (d edits) DeleteState(ctx context.Context, id string) error {
	err := d.Shelf.DeleteState(ctx, id)
	if d.when == afterDelete && err == nil {
		d.row(id, d.edit)
	}
	return err
}

// answers changes what the shelf answers.
type answers struct {
	*Shelf
	save, load func(error) error
}

func answering(change func(error) error) adaptertest.Store {
	return shelf(func(sh *Shelf) answers { return answers{sh, change, change} })
}

func answeringSave(change func(error) error) adaptertest.Store {
	return shelf(func(sh *Shelf) answers { return answers{sh, change, func(err error) error { return err }} })
}

// instead answers become where the answer is was.
func instead(was, become error) func(error) error {
	return func(err error) error {
		if !errors.Is(err, was) {
			return err
		}
		if become == nil {
			return nil
		}
		e := *err.(*durable.Error)
		e.Err = become
		return &e
	}
}

func (d answers) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	return d.save(d.Shelf.SaveState(ctx, id, s))
}

func (d answers) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	s, err := d.Shelf.LoadState(ctx, id)
	return s, d.load(err)
}
