package durable_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/durablestate/durable"
)

type Payments struct {
	durable.StatefulComponent[map[string]int]
}

// open starts a process. The holder's name stays the same, like that of a pod of
// a StatefulSet, so that a restart takes the lease back at once.
func open(ctx context.Context, store durable.StateAdapter) (*Payments, error) {
	p := &Payments{}
	cp := durable.New(store, &durable.Options{Holder: "shop-0", Logger: slog.New(slog.DiscardHandler)})
	if err := cp.Register("payments", p); err != nil {
		return nil, err
	}
	_, err := cp.Restore(ctx)
	return p, err
}

// Commit returns when the change is durable, so whoever waits for it can be told.
func ExampleStatefulComponent_Commit() {
	store := durable.NewMemoryAdapter(nil)
	ctx := context.Background()

	shop, _ := open(ctx, store)
	err := shop.Commit(ctx, func(paid *map[string]int) { (*paid)["alice"] += 20 })
	fmt.Println("acknowledged:", err == nil)

	// The process hangs, and another one takes over.
	successor, _ := open(ctx, store)
	successor.View(func(paid *map[string]int) { fmt.Println("restored:", *paid) })

	// The first one wakes up. It cannot do any harm, and is told so.
	err = shop.Commit(ctx, func(paid *map[string]int) { (*paid)["alice"] = 0 })
	fmt.Println("superseded:", errors.Is(err, durable.ErrFenced))
	// Output:
	// acknowledged: true
	// restored: map[alice:20]
	// superseded: true
}
