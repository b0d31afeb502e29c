package durable_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func register(t *testing.T, c durable.Component) error {
	t.Helper()
	return durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet()).Register("c", c)
}

func TestTheZeroValueIsReadyToUseAndAMapIsMade(t *testing.T) {
	var m durable.StatefulComponent[map[string]any]
	m.Update(func(s *map[string]any) { (*s)["x"] = 1 })
	data, err := m.SnapshotState()
	require.NoError(t, err)
	require.Equal(t, `{"x":1}`, string(data))
	require.NoError(t, m.RestoreState([]byte("null")))
	m.View(func(s *map[string]any) { require.NotNil(t, *s) })
}

func TestNumbersBehindAnAnyComeBackExactly(t *testing.T) {
	in := map[string]any{
		"int": int64(9007199254740993), "neg": int64(-1), "big": uint64(math.MaxUint64), "float": 1.5, "exp": 1e300,
		"list": []any{int64(1), 2.5, "s", nil, true}, "map": map[string]any{"deep": int64(math.MinInt64)},
	}
	c := durable.NewStatefulComponent(in)
	data, err := c.SnapshotState()
	require.NoError(t, err)
	var back durable.StatefulComponent[map[string]any]
	require.NoError(t, back.RestoreState(data))
	back.View(func(s *map[string]any) { require.Equal(t, in, *s) })
}

func TestARestoreDecodesIntoAFreshStateAndNeverMerges(t *testing.T) {
	c := durable.NewStatefulComponent(testkit.Counts{Words: map[string]int{"old": 1}})
	require.NoError(t, c.RestoreState([]byte(`{"Words":{"new":2}}`)))
	c.View(func(s *testkit.Counts) { require.Equal(t, map[string]int{"new": 2}, s.Words) })
	require.Error(t, c.RestoreState([]byte(`{"Words":{"half":3},`)))
	require.Error(t, c.RestoreState([]byte(`{"Words":{"half":3}}{}`)))
	c.View(func(s *testkit.Counts) {
		require.Equal(t, map[string]int{"new": 2}, s.Words, "after an error it is as it was")
	})
}

func TestRegisterRefusesWhatJSONWouldDropOrCouldNotReadBack(t *testing.T) {
	type unexported struct{ n int }
	type hidden struct {
		mu sync.Mutex `json:"-"`
		N  int
	}
	type node struct {
		Next *node
		When time.Time
		Raw  json.RawMessage
		Any  any
		Keys map[int8][]byte
	}
	_ = unexported{}.n
	_ = &hidden{mu: sync.Mutex{}}
	for name, c := range map[string]struct {
		comp durable.Component
		says string // empty: accepted
	}{
		"unexported field":  {new(durable.StatefulComponent[unexported]), "field n"},
		"nested":            {new(durable.StatefulComponent[struct{ In []unexported }]), "In.n"},
		"interface":         {new(durable.StatefulComponent[struct{ E error }]), "interface error"},
		"chan":              {new(durable.StatefulComponent[struct{ C chan int }]), "chan int"},
		"func":              {new(durable.StatefulComponent[map[string]func()]), "func()"},
		"complex":           {new(durable.StatefulComponent[struct{ Z complex128 }]), "complex128"},
		"key":               {new(durable.StatefulComponent[map[struct{ A int }]int]), "map key"},
		"half a codec":      {new(durable.StatefulComponent[halfCodec]), "only one of MarshalState"},
		"half a schema":     {new(durable.StatefulComponent[halfSchema]), "only one of StateSchema"},
		"half a JSON":       {new(durable.StatefulComponent[struct{ H halfJSON }]), "one direction"},
		"hidden by a tag":   {new(durable.StatefulComponent[hidden]), ""},
		"ordinary":          {new(durable.StatefulComponent[node]), ""},
		"free form":         {new(durable.StatefulComponent[map[string]any]), ""},
		"encodes itself":    {new(durable.StatefulComponent[binary]), ""},
		"custom component":  {&testkit.Custom{}, ""},
		"embedding a field": {&testkit.WordCounter{}, ""},
	} {
		err := register(t, c.comp)
		if c.says == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.says, name)
			require.ErrorContains(t, err, `"c"`, name)
		}
	}
}

type halfCodec struct{}

func (halfCodec) MarshalState() ([]byte, error) { return nil, nil }

type halfSchema struct{}

func (halfSchema) StateSchema() int { return 1 }

type halfJSON struct{ n int }

func (h halfJSON) MarshalJSON() ([]byte, error) { return json.Marshal(h.n) }

// binary encodes itself.
type binary struct{ n byte }

func (b *binary) MarshalState() ([]byte, error) { return []byte{0xff, b.n}, nil }

func (b *binary) UnmarshalState(d []byte) error {
	if len(d) != 2 || d[0] != 0xff {
		return errors.New("not binary")
	}
	b.n = d[1]
	return nil
}

func TestAStateMayEncodeItselfAndStillReadsWhatWasJSON(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		run := func(n byte) {
			cp := durable.New(a, testkit.Quiet())
			c := new(durable.StatefulComponent[binary])
			require.NoError(t, cp.Register("c", c))
			_, err := cp.Restore(ctx)
			require.NoError(t, err)
			c.View(func(b *binary) { require.Equal(t, n, b.n) })
			require.NoError(t, c.Commit(ctx, func(b *binary) { b.n++ }))
			require.NoError(t, cp.Close())
		}
		run(0)
		run(1)
		s, err := a.LoadState(ctx, "c")
		require.NoError(t, err)
		require.Equal(t, "binary", s.Codec)
		require.Equal(t, []byte{0xff, 2}, s.Data)

		require.NoError(t, a.SaveState(ctx, "j", &durable.Snapshot{Codec: "json", Data: []byte(`{"N":7}`)}))
		cp := durable.New(a, testkit.Quiet())
		c := new(durable.StatefulComponent[bothCodecs])
		require.NoError(t, cp.Register("j", c))
		_, err = cp.Restore(ctx)
		require.NoError(t, err)
		c.View(func(b *bothCodecs) { require.Equal(t, 7, b.N) })
		require.NoError(t, cp.Close())
	})
}

type bothCodecs struct{ N int }

func (b *bothCodecs) MarshalState() ([]byte, error) { return []byte{byte(b.N)}, nil }

func (b *bothCodecs) UnmarshalState(d []byte) error { b.N = int(d[0]); return nil }

// cloned shows that encoding happens outside the lock.
type cloned struct{ N int }

func (c *cloned) Clone() cloned { return *c }

func (c *cloned) MarshalState() ([]byte, error) {
	encoding <- struct{}{}
	<-encoding
	return json.Marshal(c.N)
}

func (c *cloned) UnmarshalState(d []byte) error { return json.Unmarshal(d, &c.N) }

var encoding = make(chan struct{})

func TestACloneIsEncodedOutsideTheLock(t *testing.T) {
	c := durable.NewStatefulComponent(cloned{N: 1})
	done := make(chan []byte)
	go func() { d, _ := c.SnapshotState(); done <- d }()
	<-encoding
	c.Update(func(s *cloned) { s.N = 2 }) // would wait for ever under the lock
	encoding <- struct{}{}
	require.Equal(t, "1", string(<-done))
}

// hooked has every hook on the component itself.
type hooked struct {
	durable.StatefulComponent[testkit.Counts]
	inits int
}

func (h *hooked) InitState() { h.inits++ }

func (h *hooked) StateSchema() int { return 2 }

func (h *hooked) MigrateState(int, []byte) ([]byte, error) {
	return []byte(`{"Words":{"migrated":1}}`), nil
}

func TestHooksAreLookedForOnTheComponentFirst(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		require.NoError(t, a.SaveState(ctx, "c", &durable.Snapshot{Schema: 1, Codec: "json", Data: []byte("{}")}))
		cp := durable.New(a, testkit.Quiet())
		h := &hooked{}
		require.NoError(t, cp.Register("c", h))
		require.Equal(t, 1, h.inits, "before first use")
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.Equal(t, 2, h.inits, "after every restore")
		h.View(func(c *testkit.Counts) { require.Equal(t, 1, c.Words["migrated"]) })
		require.NoError(t, cp.Close())
	})
}

func TestEachComponentNeedsAnIDAndAStateOfItsOwn(t *testing.T) {
	cp := durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet())
	w := &testkit.WordCounter{}
	require.NoError(t, cp.Register("a", w))
	require.ErrorContains(t, cp.Register("a", &testkit.WordCounter{}), "registered already")
	require.ErrorContains(t, cp.Register("b", w), "registered already")
	for _, id := range []string{"", "a/b", "~set", "x\x00", "\xff", string(make([]byte, 256))} {
		require.ErrorIs(t, cp.Register(id, &testkit.WordCounter{}), durable.ErrInvalidID, id)
	}
	require.Error(t, cp.Register("nil", nil))
	_, err := cp.Restore(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, cp.Register("late", &testkit.WordCounter{}), "before Restore")
	require.NoError(t, cp.Close())
}

func TestAChangeIsMarkedAlsoWhenUpdatePanics(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Checkpoint(t.Context()))
		require.Panics(t, func() {
			h.Words.Update(func(c *testkit.Counts) { c.Words["half"] = 1; panic("boom") })
		})
		require.NoError(t, h.Checkpoint(t.Context()))
		s, err := a.LoadState(t.Context(), "words")
		require.NoError(t, err)
		require.Contains(t, string(s.Data), "half")
		require.NoError(t, h.Close())
	})
}

func TestManyGoroutinesMayUpdateViewCommitAndCheckpoint(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	o := testkit.Quiet()
	o.Interval = time.Millisecond
	h := testkit.Start(t, a, o)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				h.Words.Add("u")
				h.Words.Count("u")
				require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["c"]++ }))
				h.Status()
				_ = h.Health()
			}
		})
	}
	wg.Wait()
	require.NoError(t, h.Close())
	var back durable.StatefulComponent[testkit.Counts]
	s, err := a.LoadState(t.Context(), "words")
	require.NoError(t, err)
	require.NoError(t, back.RestoreState(s.Data))
	back.View(func(c *testkit.Counts) { require.Equal(t, map[string]int{"u": 800, "c": 800}, c.Words) })
}

func TestRegisterRefusesAPointerWhoseHooksWouldNotBeCalled(t *testing.T) {
	cp := durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet())
	require.ErrorContains(t, cp.Register("p", durable.NewStatefulComponent(&profile{})), "profile")
	require.NoError(t, cp.Register("plain", durable.NewStatefulComponent(&struct{ N int }{})))
	require.NoError(t, cp.Close())
}

func TestStatesOfEveryKindComeBack(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
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
			p, cp := &parts{}, durable.New(a, testkit.Quiet())
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

// How to test a component of your own: the memory adapter needs no server, and in
// a synctest bubble an hour takes no time. There is nothing to mock: the second
// Checkpointer is the restart.
func TestExample_a_counter_survives_a_crash_but_for_the_last_minute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := durable.NewMemoryAdapter(nil)
		boot := func() (*Counter, *durable.Checkpointer) {
			c := &Counter{}
			cp := durable.New(store, &durable.Options{Holder: "test", Interval: time.Minute, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, cp.Register("word_counter", c))
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			require.NoError(t, cp.Start())
			return c, cp
		}

		c, cp := boot()
		c.Count("early")
		time.Sleep(time.Hour)
		c.Count("late") // after the last checkpoint

		again, cp2 := boot() // the first process was killed: it never closed
		again.View(func(s *seen) { require.Equal(t, map[string]int{"early": 1}, s.Words) })

		require.NoError(t, cp2.Close())
		require.Error(t, cp.Close()) // and what it had left is refused
	})
}

// The change of a small state under Update, beside the same under a plain mutex.
func BenchmarkUpdate(b *testing.B) {
	type state struct{ N int }
	b.Run("durable", func(b *testing.B) {
		var c durable.StatefulComponent[state]
		for b.Loop() {
			c.Update(func(s *state) { s.N++ })
		}
	})
	b.Run("mutex", func(b *testing.B) {
		var mu sync.Mutex
		var s state
		change := func(fn func(*state)) {
			mu.Lock()
			defer mu.Unlock()
			fn(&s)
		}
		for b.Loop() {
			change(func(s *state) { s.N++ })
		}
	})
}

type withPointer struct {
	*durable.StatefulComponent[map[string]int]
}

type withValue struct {
	Name string // first, so that the embedded one is not where the outer one is
	durable.StatefulComponent[map[string]int]
}

func TestRegisterRefusesAComponentThatIsNil(t *testing.T) {
	for name, c := range map[string]durable.Component{
		"itself":       (*durable.StatefulComponent[map[string]int])(nil),
		"the outer":    (*withValue)(nil),
		"the embedded": &withPointer{},
		"all":          nil,
	} {
		t.Run(name, func(t *testing.T) {
			cp := durable.New(durable.NewMemoryAdapter(nil), nil)
			require.ErrorContains(t, cp.Register("words", c), "nil")
			require.NoError(t, cp.Register("words", &withValue{}), "the id is free again")
			require.NoError(t, cp.Close())
		})
	}
}
