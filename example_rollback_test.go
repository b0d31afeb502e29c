package durable_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/durablestate/durable"
)

// A rollback is a take-over: whoever rolls back claims the component above its
// fence, so that a running owner is refused, and saves the old content as a new
// version.
func Example_rollback() {
	ctx := context.Background()
	a := durable.NewMemoryAdapter(nil)
	run := func(holder string, visit func(words *durable.StatefulComponent[map[string]int])) {
		cp := durable.New(a, &durable.Options{Holder: holder, Logger: slog.New(slog.DiscardHandler)})
		words := durable.NewStatefulComponent(map[string]int{})
		_ = cp.Register("words", words)
		if _, err := cp.Restore(ctx); err != nil {
			fmt.Println(err)
		}
		visit(words)
		_ = cp.Close()
	}
	run("first", func(words *durable.StatefulComponent[map[string]int]) {
		for range 3 {
			_ = words.Commit(ctx, func(w *map[string]int) { (*w)["n"]++ })
		}
	})

	rollback := func(id string, version uint64) error {
		old, err := a.LoadSnapshot(ctx, id, version)
		if err != nil {
			return err
		}
		newest, err := a.LoadState(ctx, id)
		if err != nil {
			return err
		}
		l, err := a.AcquireLease(ctx, "", "rollback", time.Minute) // the name is that of the system
		if err != nil {
			return err
		}
		if err := a.ClaimState(ctx, id, l.Epoch); err != nil {
			return err
		}
		s := &durable.Snapshot{Epoch: l.Epoch, Version: newest.LastVersion + 1, Schema: old.Schema, Codec: old.Codec, Data: old.Data}
		if err := a.SaveState(ctx, id, s); err != nil {
			return err
		}
		return a.ReleaseLease(ctx, l)
	}
	fmt.Println(rollback("words", 2))
	run("second", func(words *durable.StatefulComponent[map[string]int]) {
		words.View(func(w *map[string]int) { fmt.Println(*w) })
	})
	// Output:
	// <nil>
	// map[n:2]
}
