package engine_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// measured is a spill that takes its time and notes how much it was given at once.
type measured struct {
	*durable.MemoryAdapter
	pause      time.Duration
	mu         sync.Mutex
	held, most int
	calls      int
}

func (m *measured) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	m.hold(len(s.Data))
	defer m.hold(-len(s.Data))
	time.Sleep(m.pause)
	return m.MemoryAdapter.SaveState(ctx, id, s)
}

func (m *measured) hold(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held += n
	m.most = max(m.most, m.held)
	if n > 0 {
		m.calls++
	}
}

func (m *measured) count(t *testing.T) (n int) {
	for id, err := range m.ListComponents(t.Context()) {
		require.NoError(t, err)
		if !strings.HasPrefix(id, "~") {
			n++
		}
	}
	return n
}

func spilling() (*durable.Options, *measured) {
	o, m := testkit.Quiet(), &measured{MemoryAdapter: durable.NewMemoryAdapter(nil)}
	o.Spill = m
	return o, m
}

func TestASpillDoesNotHoldAllStatesAtOnce(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		const states, size = 200, 1 << 20
		o, spill := spilling()
		spill.pause = 10 * time.Millisecond
		a := testkit.NewFlaky()
		cp := durable.New(a, o)
		pad := strings.Repeat("x", size)
		for i := range states {
			require.NoError(t, cp.Register(fmt.Sprint(i), durable.NewStatefulComponent(pad)))
		}
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		held := &measured{}
		a.On("save", func(string) error {
			held.hold(size)
			defer held.hold(-size)
			time.Sleep(time.Second)
			return testkit.ErrDown
		})
		list := unsavedOf(t, testkit.CloseWithin(t, cp, 20*time.Second))
		require.Len(t, list, states)
		require.Equal(t, states, spill.count(t))
		require.LessOrEqual(t, spill.most, 64*size)
		require.LessOrEqual(t, held.most, 64*size)
		for _, st := range list {
			require.True(t, st.Spilled)
		}
	})
}

func TestComponentsThatHangKeepNoOtherFromTheSpill(t *testing.T) { // P9
	testkit.Bubble(t, func(t *testing.T) {
		o, spill := spilling()
		a := testkit.NewFlaky()
		c := newSeveral(t, a, o, 1000, 600)
		c.change()
		a.Down("save")
		list := unsavedOf(t, testkit.CloseWithin(t, c, 20*time.Second))
		require.Len(t, list, 1600)
		c.requireStored(t, spill)
		for _, st := range list {
			require.Equal(t, strings.HasPrefix(st.ComponentID, "c"), st.Spilled, st.ComponentID)
		}
		close(c.hang)
	})
}

// The store hangs, and the part of the budget that a spill has in any case would do for
// half of what is there.
func TestTriesDoNotUseUpTheTimeThatTheSpillNeeds(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		o, spill := spilling()
		o.CloseTimeout, spill.pause = 2*time.Second, 15*time.Millisecond
		c := newSeveral(t, testkit.Hanging{MemoryAdapter: durable.NewMemoryAdapter(nil)}, o, 40_000, 0)
		c.change()
		require.Len(t, unsavedOf(t, testkit.CloseWithin(t, c, 2200*time.Millisecond)), 40_000)
		require.Equal(t, 40_000, spill.count(t))
	})
}

func TestASpillThatFailsIsTriedAgain(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, spill, o := testkit.NewFlaky(), testkit.NewFlaky(), testkit.Quiet()
		o.Spill = spill
		c := newSeveral(t, a, o, 300, 0)
		c.change()
		a.Down("save")
		blip(spill)
		require.Len(t, unsavedOf(t, testkit.CloseWithin(t, c, 20*time.Second)), 300)
		c.requireStored(t, spill)
	})
}

func TestACloseErrorSaysThatTheSpillFailedToo(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, spill, o := testkit.NewFlaky(), testkit.NewFlaky(), testkit.Quiet()
		o.Spill = spill
		h := testkit.Start(t, a, o)
		h.Words.Add("lost")
		a.Down("save")
		spill.On("save", func(string) error { return fmt.Errorf("%w: the disk is full", durable.ErrPermanent) })
		err := testkit.CloseWithin(t, h, 20*time.Second)
		require.ErrorIs(t, err, testkit.ErrDown)
		require.ErrorContains(t, err, "it was not spilled either: ")
		require.NotContains(t, err.Error(), "\n")
		require.False(t, unsavedOf(t, err)[0].Spilled)
	})
}

func TestWhatDidNotChangeIsNeitherListedNorSpilled(t *testing.T) {
	for _, name := range []string{"counted", "plain", "restored"} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a := testkit.NewFlaky()
				o, spill := spilling()
				start := func() (*testkit.Custom, testkit.Harness) {
					h, plain := testkit.Prepare(t, a, o), &testkit.Custom{Data: []byte("plain")}
					require.NoError(t, h.Register("plain", plain))
					_, err := h.Restore(t.Context())
					require.NoError(t, err)
					return plain, h
				}
				plain, h := start()
				require.NoError(t, h.Words.Commit(t.Context(), func(*testkit.Counts) {}))
				require.NoError(t, h.Checkpoint(t.Context()))
				if name == "restored" {
					require.NoError(t, h.Close())
					plain, h = start()
				}
				a.Down("save", "refresh")
				require.Error(t, h.Checkpoint(t.Context()), "whose error says nothing about the change that is stored")
				if name == "plain" {
					plain.Data = []byte("changed")
				}
				err := testkit.CloseWithin(t, h, 20*time.Second)
				if name == "plain" {
					list := unsavedOf(t, err)
					require.Len(t, list, 1)
					require.Equal(t, "plain", list[0].ComponentID)
					require.Equal(t, 1, spill.count(t))
					return
				}
				require.NoError(t, err)
				require.Zero(t, spill.calls)
			})
		})
	}
}

// A state that embeds a counted one and adds something to it may hide changes, also
// before it was saved for the first time.
type annotated struct {
	testkit.WordCounter
	note string
	hang chan struct{}
}

func (a *annotated) SnapshotState() ([]byte, error) {
	if a.hang != nil {
		<-a.hang
	}
	data, err := a.WordCounter.SnapshotState()
	return append(data, a.note...), err
}

func (a *annotated) RestoreState(data []byte) error {
	before, note, _ := strings.Cut(string(data), "#")
	a.note = "#" + note
	return a.WordCounter.RestoreState([]byte(before))
}

func TestAChangeThatNoCountTellsIsNotCalledSaved(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		open := func() (*annotated, *durable.Checkpointer) {
			cp, c := durable.New(a, testkit.Quiet()), &annotated{note: "#one"}
			require.NoError(t, cp.Register("c", c))
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			return c, cp
		}
		_, cp := open()
		require.NoError(t, cp.Close())
		c, cp := open()
		require.Equal(t, "#one", c.note)
		c.note = "#two"
		a.Down("save", "refresh")
		require.Len(t, unsavedOf(t, cp.Close()), 1)

		a.Up("save", "refresh")
		c, cp = open()
		c.note, c.hang = "#two", make(chan struct{})
		require.Len(t, unsavedOf(t, cp.Close()), 1, "nobody could ask")
		close(c.hang)
	})
}

func TestWhatNobodyAskedForIsAskedForByTheSpill(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		const n = 2000 // more than there are slots
		o, spill := spilling()
		a := &bad{MemoryAdapter: durable.NewMemoryAdapter(nil), armed: make(chan struct{}), fn: badStores["hung"]}
		cp := durable.New(a, o)
		all := make([]testkit.Custom, n)
		for i := range all {
			all[i].Data = []byte("old")
			require.NoError(t, cp.Register(fmt.Sprint(i), &all[i]))
		}
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, cp.Checkpoint(t.Context()))
		close(a.armed)
		all[n-1].Data = []byte("new")
		list := unsavedOf(t, testkit.CloseWithin(t, cp, 20*time.Second))
		require.Len(t, list, 1, "the others are as they are stored")
		require.Equal(t, fmt.Sprint(n-1), list[0].ComponentID)
		require.Equal(t, 1, spill.count(t))
	})
}

// TestASpillOfManyLargeStatesTakesLittleMemory spills 2,500 states of 1 MiB to files.
func TestASpillOfManyLargeStatesTakesLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 2.5 GiB")
	}
	const size, above = 1 << 20, 200 << 20
	states := 2500
	if n, _ := strconv.Atoi(os.Getenv("DURABLE_STATES")); n > 0 {
		states = n
	}
	spill, err := durable.NewFileAdapter(t.TempDir(), nil)
	require.NoError(t, err)
	defer spill.Close()
	o := testkit.Quiet()
	o.Spill, o.CloseTimeout, o.OnEvent = spill, 2*time.Minute, nil
	down := &bad{MemoryAdapter: durable.NewMemoryAdapter(nil), armed: make(chan struct{}), fn: func(context.Context) error {
		time.Sleep(time.Second)
		return testkit.ErrDown
	}}
	cp := durable.New(down, o)
	pad := strings.Repeat("x", size) // shared, so that only what Close holds is measured
	all := make([]durable.StatefulComponent[string], states)
	for i := range all {
		require.NoError(t, cp.Register(fmt.Sprint(i), &all[i]))
	}
	_, err = cp.Restore(t.Context())
	require.NoError(t, err)
	for i := range all {
		all[i].Update(func(s *string) { *s = pad })
	}
	close(down.armed)
	runtime.GC()
	before, stop := runtime.NumGoroutine(), make(chan struct{})
	most := make(chan uint64)
	go func() { most <- mostMemory(stop) }()
	began := time.Now()
	list := unsavedOf(t, cp.Close())
	took := time.Since(began)
	close(stop)
	peak := <-most
	spilled := 0
	for _, st := range list {
		if st.Spilled {
			spilled++
		}
	}
	t.Logf("%d states of 1 MiB: Close took %s, spilled %d, at most %d MiB in use", states, took.Round(time.Millisecond), spilled, peak>>20)
	require.Equal(t, states, spilled)
	require.LessOrEqual(t, peak, uint64(above))
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}

// mostMemory returns the most that the heap has in use until stop.
func mostMemory(stop chan struct{}) (most uint64) {
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapInuse)
		select {
		case <-stop:
			return most
		case <-time.After(5 * time.Millisecond):
		}
	}
}
