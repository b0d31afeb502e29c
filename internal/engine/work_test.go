package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/engine"
)

// watched is a component that counts in all how often it was looked at.
type watched struct {
	number
	looks *atomic.Int64
}

func (w *watched) ChangeCount() uint64 { w.looks.Add(1); return w.number.ChangeCount() }

// crowd is an Engine with many components, in a process that does nothing else.
type crowd struct {
	*engine.Engine
	store *counting
	ids   []string
	all   []watched
	looks atomic.Int64
}

func newCrowd(t *testing.T, n int, consistent bool) *crowd {
	t.Helper()
	c := &crowd{store: newCounting(), ids: make([]string, n), all: make([]watched, n)}
	c.Engine = newEngine(c.store, func(o *engine.Options) {
		o.Consistent, o.LeaseTTL, o.CloseTimeout = consistent, -1, time.Second
	})
	for i := range c.ids {
		c.ids[i] = fmt.Sprintf("c%d", i)
		c.all[i].looks = &c.looks
	}
	return c
}

func (c *crowd) register(t *testing.T) {
	for i := range c.all {
		require.NoError(t, c.Register(c.ids[i], &c.all[i], &c.all[i]))
	}
}

func (c *crowd) change() {
	for i := range c.all {
		c.all[i].add()
	}
}

// steps are the calls that take or return something of every component, in an order
// in which a program may make them.
var steps = []struct {
	name string
	do   func(t *testing.T, c *crowd)
}{
	{"Register", func(t *testing.T, c *crowd) { c.register(t) }},
	{"Status before", func(t *testing.T, c *crowd) { require.GreaterOrEqual(t, len(c.Status()), len(c.ids)) }},
	{"Health before", func(t *testing.T, c *crowd) { require.Error(t, c.Health()) }},
	{"Start too early", func(t *testing.T, c *crowd) { require.Error(t, c.Start()) }},
	{"Restore", func(t *testing.T, c *crowd) { _, err := c.Restore(t.Context()); require.NoError(t, err) }},
	{"Restore by names", func(t *testing.T, c *crowd) {
		r, err := c.Restore(t.Context(), c.ids...)
		require.NoError(t, err)
		require.Len(t, r.Results, len(c.ids))
	}},
	{"Restore by wrong names", func(t *testing.T, c *crowd) {
		_, err := c.Restore(t.Context(), append([]string{"x"}, c.ids...)...)
		require.Error(t, err)
	}},
	{"Start", func(t *testing.T, c *crowd) { require.NoError(t, c.Start()) }},
	{"Checkpoint", func(t *testing.T, c *crowd) { c.change(); require.NoError(t, c.Checkpoint(t.Context())) }},
	{"Checkpoint by names", func(t *testing.T, c *crowd) {
		c.change()
		require.NoError(t, c.Checkpoint(t.Context(), c.ids...))
	}},
	{"Checkpoint of nothing new", func(t *testing.T, c *crowd) { require.NoError(t, c.Checkpoint(t.Context())) }},
	{"Status", func(t *testing.T, c *crowd) { require.GreaterOrEqual(t, len(c.Status()), len(c.ids)) }},
	{"Health", func(t *testing.T, c *crowd) { require.NoError(t, c.Health()) }},
	{"Restore again, the store being down", func(t *testing.T, c *crowd) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Restore(ctx)
		require.Error(t, err)
		_, err = c.Restore(t.Context())
		require.NoError(t, err)
	}},
	{"Close, the store being down", func(t *testing.T, c *crowd) {
		c.store.down.Store(true)
		c.change()
		unsaved, _ := c.Close()
		require.GreaterOrEqual(t, len(unsaved), len(c.ids))
	}},
	{"Status after", func(t *testing.T, c *crowd) { require.GreaterOrEqual(t, len(c.Status()), len(c.ids)) }},
}

// work returns how often components were looked at, and how many objects were made, in
// each of the steps.
func work(t *testing.T, n int, consistent bool) (looks, objects []int) {
	c := newCrowd(t, n, consistent)
	var before, after runtime.MemStats
	for _, s := range steps {
		c.looks.Store(0)
		runtime.ReadMemStats(&before)
		s.do(t, c)
		runtime.ReadMemStats(&after)
		looks, objects = append(looks, int(c.looks.Load())), append(objects, int(after.Mallocs-before.Mallocs))
	}
	return looks, objects
}

func TestNoCallLooksAtAllComponentsForEachOfThem(t *testing.T) {
	const few, many, slack = 1000, 10_000, 3 // a loop inside a loop would make ten times ten
	for _, consistent := range []bool{false, true} {
		someLooks, someObjects := work(t, few, consistent)
		allLooks, allObjects := work(t, many, consistent)
		for i, s := range steps {
			limit := many / few * slack
			require.LessOrEqual(t, allLooks[i], limit*(someLooks[i]+few), "%s, consistent %t: looks at components", s.name, consistent)
			require.LessOrEqual(t, allObjects[i], limit*(someObjects[i]+few), "%s, consistent %t: objects", s.name, consistent)
		}
	}
}
