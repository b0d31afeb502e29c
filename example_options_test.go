package durable_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/durablestate/durable"
)

// The block may sit in a larger file. A Config never shows a secret.
func ExampleParseConfig() {
	cfg, err := durable.ParseConfig([]byte(`
service: fraud-detection # of others, ignored
state_persistence:
  adapter: redis
  redis_url: "${NO_SUCH_VARIABLE:-redis://:secret@cache:6379/0}"
  ttl: 3600
  snapshot_interval: 60
  system: fraud-detection
  components:
    risk_aggregator: {snapshot_interval: 5s, restore: required}
`))
	fmt.Println(err)
	fmt.Println(cfg.Options.Interval, cfg.Options.Components["risk_aggregator"].Interval)
	fmt.Println(cfg)
	// Output:
	// <nil>
	// 1m0s 5s
	// durable.Config{adapter: redis, redis_url: (not shown), ttl: 1h0m0s, snapshot_interval: 1m0s, system: fraud-detection, components.risk_aggregator.snapshot_interval: 5s, components.risk_aggregator.restore: required}
}

// Everything that is wrong is said at once, with its line.
func ExampleParseConfig_mistakes() {
	_, err := durable.ParseConfig([]byte(`
state_persistence:
  adapter: reddis
  snapshot_intervall: 60
  ttl: 1 hour
`))
	fmt.Println(err)
	// Output:
	// durable: cannot use configuration:
	//   line 3: state_persistence.adapter: must be redis, file or memory, not "reddis"; did you mean redis?
	//   line 4: state_persistence.snapshot_intervall: unknown key; did you mean snapshot_interval?
	//   line 5: state_persistence.ttl: must be whole seconds such as 90 or a duration such as 500ms or 1h30m, 0 (no expiry) or from 1ms to 100 years, not this value
}

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
