package durable_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durablestate/durable"
	"github.com/stretchr/testify/require"
)

type counts struct{ Words map[string]int }

func (c *counts) InitState() {
	if c.Words == nil {
		c.Words = map[string]int{}
	}
}

type WordCounter struct {
	durable.StatefulComponent[counts]
}

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		ctx := context.Background()
		run := func(want durable.Outcome, n int) {
			cp := durable.New(a, nil)
			w := &WordCounter{}
			require.NoError(t, cp.Register("word_counter", w))
			rep, err := cp.Restore(ctx)
			require.NoError(t, err)
			r, _ := rep.Component("word_counter")
			require.Equal(t, want, r.Outcome)
			t.Logf("%+v", rep)
			require.NoError(t, cp.Start())
			w.View(func(c *counts) { require.Equal(t, n, c.Words["hello"]) })
			w.Update(func(c *counts) { c.Words["hello"]++ })
			require.NoError(t, w.Commit(ctx, func(c *counts) { c.Words["paid"]++ }))
			time.Sleep(10 * time.Minute)
			t.Logf("%+v", cp.Status())
			require.NoError(t, cp.Health())
			require.NoError(t, cp.Close())
			require.NoError(t, cp.Close())
		}
		run(durable.FirstBoot, 0)
		run(durable.Restored, 1)
		run(durable.Restored, 2)
	})
}
