package durable_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/durablestate/durable"
)

// A store that lost everything looks like one that never had anything. After the
// first start RestoreRequired tells the difference.
func ExampleRestoreRequired() {
	wiped := durable.NewMemoryAdapter(nil) // yesterday it was full
	accounts := &durable.StatefulComponent[map[string]int]{}
	cp := durable.New(wiped, &durable.Options{
		Logger:     slog.New(slog.DiscardHandler),
		Components: map[string]durable.ComponentOptions{"accounts": {Restore: durable.RestoreRequired}},
	})
	if err := cp.Register("accounts", accounts); err != nil {
		fmt.Println(err)
	}
	defer cp.Close()
	report, err := cp.Restore(context.Background())
	result, _ := report.Component("accounts")
	fmt.Println(result.Outcome)
	fmt.Println("nothing there:", errors.Is(err, durable.ErrNotFound))

	err = accounts.Commit(context.Background(), func(a *map[string]int) { (*a)["alice"] = 1 })
	fmt.Println("nothing overwritten:", errors.Is(err, durable.ErrNotRestored))
	// Output:
	// first-boot
	// nothing there: true
	// nothing overwritten: true
}
