package durable

import (
	"fmt"
)

// schemaHooks calls fn with what has the component's schema hooks: the
// registered component itself, or else the state of its StatefulComponent, under
// its lock.
func (m *member) schemaHooks(fn func(hooks any)) {
	_, holds := m.comp.(schemaHolder)
	_, migrates := m.comp.(schemaMigrator)
	if holds || migrates || m.tracked() == nil {
		fn(m.comp)
		return
	}
	m.tracked().withState(fn)
}

// schema returns the version of the state's format that the program writes.
func (m *member) schema() int {
	if h, ok := m.comp.(schemaHolder); ok {
		return h.StateSchema()
	}
	if _, migrates := m.comp.(schemaMigrator); migrates {
		return 0
	}
	if t := m.tracked(); t != nil {
		return t.stateSchema()
	}
	return 0
}

func (m *member) checkSchema() (err error) {
	m.schemaHooks(func(hooks any) {
		h, holds := hooks.(schemaHolder)
		_, migrates := hooks.(schemaMigrator)
		switch {
		case holds != migrates:
			err = fmt.Errorf("%T has only one of StateSchema and MigrateState", hooks)
		case holds && h.StateSchema() < 0:
			err = fmt.Errorf("StateSchema returns %d; it must not be negative", h.StateSchema())
		}
	})
	return err
}

// migrate brings data from the stored schema to the program's, one step at a time.
func (m *member) migrate(from int, data []byte) ([]byte, error) {
	to := m.schema()
	if from > to {
		return nil, fmt.Errorf("%w: its schema is %d, this program knows %d", ErrTooNew, from, to)
	}
	if from == to {
		return data, nil
	}
	return m.migrateTo(to, from, data)
}

func (m *member) migrateTo(to, from int, data []byte) (_ []byte, err error) {
	m.schemaHooks(func(hooks any) {
		for ; from < to && err == nil; from++ {
			if data, err = hooks.(schemaMigrator).MigrateState(from, data); err != nil {
				err = fmt.Errorf("migration from schema %d: %w", from, err)
			}
		}
	})
	return data, err
}
