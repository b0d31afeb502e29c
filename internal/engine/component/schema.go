package component

import (
	"fmt"

	"github.com/durablestate/durable/internal/store"
)

// withSchemaHooks calls fn with what has the component's schema hooks: the
// registered component itself, or else the state of its cell, under its lock.
func (r *Registered) withSchemaHooks(fn func(hooks any)) {
	_, holds := r.comp.(SchemaHolder)
	_, migrates := r.comp.(Migrator)
	if holds || migrates || r.cell == nil {
		fn(r.comp)
		return
	}
	r.cell.WithState(fn)
}

// schema returns the version of the state's format that the program writes.
func (r *Registered) schema() int {
	if h, ok := r.comp.(SchemaHolder); ok {
		return h.StateSchema()
	}
	if _, migrates := r.comp.(Migrator); migrates || r.cell == nil {
		return 0
	}
	return r.cell.Schema()
}

func (r *Registered) checkSchema() (err error) {
	r.withSchemaHooks(func(hooks any) {
		h, holds := hooks.(SchemaHolder)
		_, migrates := hooks.(Migrator)
		switch {
		case holds != migrates:
			err = fmt.Errorf("%T has only one of StateSchema and MigrateState; give it both, or none", hooks)
		case holds && h.StateSchema() < 0:
			err = fmt.Errorf("StateSchema returns %d; it must not be negative", h.StateSchema())
		}
	})
	return err
}

// migrate brings data from the stored schema to the program's, one step at a time.
func (r *Registered) migrate(from int, data []byte) ([]byte, error) {
	to := r.schema()
	if from < 0 {
		return nil, fmt.Errorf("%w: its schema is %d", store.ErrCorrupt, from)
	}
	if from > to {
		return nil, fmt.Errorf("%w: its schema is %d, this program knows %d", store.ErrTooNew, from, to)
	}
	if from == to {
		return data, nil
	}
	return r.migrateTo(to, from, data)
}

func (r *Registered) migrateTo(to, from int, data []byte) (_ []byte, err error) {
	r.withSchemaHooks(func(hooks any) {
		for ; from < to && err == nil; from++ {
			if data, err = hooks.(Migrator).MigrateState(from, data); err != nil {
				err = fmt.Errorf("migration from schema %d: %w", from, err)
			}
		}
	})
	return data, err
}
