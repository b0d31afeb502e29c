package durable_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/durablestate/durable"
)

// With Options.Consistent the offset of a source and the totals behind it are
// saved in one cut, so that a restart neither skips nor repeats a message.
func ExampleCheckpointer_Do() {
	ctx := context.Background()
	store := durable.NewMemoryAdapter(nil)
	messages := []int{5, 7, 11}

	for life := range 2 {
		offset, total := durable.NewStatefulComponent(0), durable.NewStatefulComponent(0)
		cp := durable.New(store, &durable.Options{Consistent: true, Holder: "pod-0", Logger: slog.New(slog.DiscardHandler)})
		fmt.Println(cp.Register("offset", offset), cp.Register("total", total))
		if _, err := cp.Restore(ctx); err != nil {
			fmt.Println(err)
		}
		next := 0
		offset.View(func(n *int) { next = *n })
		for _, m := range messages[next:] {
			cp.Do(func() { // one unit of work
				total.Update(func(sum *int) { *sum += m })
				offset.Update(func(n *int) { *n++ })
			})
			if life == 0 {
				break // after one message
			}
		}
		total.View(func(sum *int) { fmt.Println("total", *sum) })
		if err := cp.Close(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// <nil> <nil>
	// total 5
	// <nil> <nil>
	// total 23
}
