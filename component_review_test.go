package durable_test

import (
	"testing"

	"github.com/durablestate/durable"
	"github.com/stretchr/testify/require"
)

func TestRegisterRefusesAPointerWhoseHooksWouldNotBeCalled(t *testing.T) {
	cp := durable.New(durable.NewMemoryAdapter(nil), quiet())
	require.ErrorContains(t, cp.Register("p", durable.NewStatefulComponent(&account{})), "account")
	require.NoError(t, cp.Register("plain", durable.NewStatefulComponent(&struct{ N int }{})))
	require.NoError(t, cp.Close())
}

func TestStatesOfEveryKindComeBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		type parts struct {
			N durable.StatefulComponent[int]
			P durable.StatefulComponent[*int]
			S durable.StatefulComponent[[]string]
			A durable.StatefulComponent[any]
			M durable.StatefulComponent[map[string]bool]
		}
		open := func() (*parts, *durable.Checkpointer) {
			p, cp := &parts{}, durable.New(a, quiet())
			for id, c := range map[string]durable.Component{"n": &p.N, "p": &p.P, "s": &p.S, "a": &p.A, "m": &p.M} {
				require.NoError(t, cp.Register(id, c))
			}
			_, err := cp.Restore(ctx)
			require.NoError(t, err)
			return p, cp
		}
		_, cp := open()
		require.NoError(t, cp.Close(), "the zero states")
		p, cp := open()
		p.N.Update(func(n *int) { *n = 7 })
		p.P.Update(func(p **int) { *p = new(int) })
		p.S.Update(func(s *[]string) { *s = append(*s, "x") })
		p.A.Update(func(a *any) { *a = []any{int64(1), "x"} })
		p.M.Update(func(m *map[string]bool) { (*m)["x"] = true })
		require.NoError(t, cp.Close())
		p, cp = open()
		p.N.View(func(n *int) { require.Equal(t, 7, *n) })
		p.P.View(func(p **int) { require.Equal(t, 0, **p) })
		p.S.View(func(s *[]string) { require.Equal(t, []string{"x"}, *s) })
		p.A.View(func(a *any) { require.Equal(t, []any{int64(1), "x"}, *a) })
		p.M.View(func(m *map[string]bool) { require.Equal(t, map[string]bool{"x": true}, *m) })
		require.NoError(t, cp.Close())
	})
}

func TestAFreshStartAfterALossSetsTheOlderGenerationAside(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := start(t, a, nil)
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["older"] = 1 }))
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["newest"] = 1 }))
		require.NoError(t, h.Close())
		a.Memory().Edit("words", func([]byte) []byte { return nil }) // evicted
		o := quiet()
		o.Restore = durable.FreshIfUnreadable
		h = start(t, a, o)
		require.Equal(t, durable.Lost, h.outcome(t))
		for range 5 { // retention takes the older generation
			require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["new"]++ }))
		}
		require.NoError(t, h.Close())
		found := false
		for id, err := range a.ListComponents(ctx) {
			require.NoError(t, err)
			if id != "words" {
				s, err := a.LoadState(ctx, id)
				require.NoError(t, err)
				require.Contains(t, string(s.Data), "older")
				found = true
			}
		}
		require.True(t, found, "the old bytes are set aside, never overwritten")
	})
}
