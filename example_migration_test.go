package durable_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/durablestate/durable"
)

// profileV0 is what the first release stored. It knew of no schema, which is 0.
type profileV0 struct{ Name string }

// profile is what this release stores.
type profile struct{ First, Last string }

// StateSchema is the version of the format that this program writes.
func (p *profile) StateSchema() int { return 1 }

// MigrateState takes one step, from the version from to the next.
func (p *profile) MigrateState(from int, data []byte) ([]byte, error) {
	var old profileV0 // from is 0, the only version below 1
	if err := json.Unmarshal(data, &old); err != nil {
		return nil, err
	}
	first, last, _ := strings.Cut(old.Name, " ")
	return json.Marshal(profile{first, last})
}

// restored runs fn with a component that was restored, and closes.
func restored(store durable.StateAdapter, c durable.Component, fn func()) error {
	cp := durable.New(store, &durable.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := cp.Register("profile", c); err != nil {
		return err
	}
	_, err := cp.Restore(context.Background())
	if err == nil {
		fn()
	}
	return errors.Join(err, cp.Close())
}

// A new release reads what an old one stored. The old one, brought back, refuses
// what it does not know, and leaves it as it is.
func ExampleStatefulComponent_migration() {
	store := durable.NewMemoryAdapter(nil)

	var before durable.StatefulComponent[profileV0]
	_ = restored(store, &before, func() {
		before.Update(func(p *profileV0) { p.Name = "Ada Lovelace" })
	})

	var now durable.StatefulComponent[profile]
	_ = restored(store, &now, func() {
		now.View(func(p *profile) { fmt.Printf("%+v\n", *p) })
	})

	var rolledBack durable.StatefulComponent[profileV0]
	err := restored(store, &rolledBack, func() { fmt.Println("never called") })
	fmt.Println("too new:", errors.Is(err, durable.ErrTooNew))
	// Output:
	// {First:Ada Last:Lovelace}
	// too new: true
}
