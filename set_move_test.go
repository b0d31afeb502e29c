package durable_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
)

// onEveryAdapter runs fn with a function that opens the same store again and
// again: memory, files and a real redis-server.
func onEveryAdapter(t *testing.T, fn func(t *testing.T, open func() durable.StateAdapter)) {
	t.Run("memory", func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		fn(t, func() durable.StateAdapter { return a.Reopen() })
	})
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		fn(t, func() durable.StateAdapter {
			a, err := durable.NewFileAdapter(dir, nil)
			require.NoError(t, err)
			t.Cleanup(func() { a.Close() })
			return a
		})
	})
	t.Run("redis_server", func(t *testing.T) {
		s := redistest.Shared(t)
		prefix := fmt.Sprintf("test:%s:%x:", strings.ToLower(t.Name()), rand.Uint64())
		fn(t, func() durable.StateAdapter {
			a, err := durable.OpenRedisAdapter(t.Context(), s.URL(), &durable.RedisOptions{KeyPrefix: prefix})
			require.NoError(t, err)
			t.Cleanup(func() { a.Close() })
			return a
		})
	})
}

func named(holder string, o *durable.Options) *durable.Options {
	o.Holder = holder
	return o
}

// TestMovingBetweenSingleStatesAndASetLosesNothing lives many lives, in either
// mode, each of which may end anywhere.
func TestMovingBetweenSingleStatesAndASetLosesNothing(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) { moveAbout(t, open, 0, 25) })
}

func TestMovingWithoutOwnershipLosesNothing(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	for range 3 { // the fence of left is above the others
		require.NoError(t, a.DeleteState(t.Context(), "left"))
	}
	moveAbout(t, func() durable.StateAdapter { return fourMethods{a} }, -1, 60)
}

func TestMovingLosesNothingWhenStaleCopiesAreEvicted(t *testing.T) {
	for range 20 {
		a := durable.NewMemoryAdapter(nil)
		m := newMover(t, func() durable.StateAdapter { return a.Reopen() })
		for range 20 {
			m.live()
			if m.setIsNewest {
				a.Memory().Wipe("left")
				a.Memory().Wipe("right")
			} else if m.allSingle {
				a.Memory().Wipe("~set")
			}
		}
	}
}

func moveAbout(t *testing.T, open func() durable.StateAdapter, lease int, lives int) {
	m := newMover(t, open)
	m.lease = lease
	for range lives {
		m.live()
	}
}

// mover knows what must be restored.
type mover struct {
	t           *testing.T
	open        func() durable.StateAdapter
	lease       int
	random      *rand.Rand
	left, right int // durable
	set         bool
	setIsNewest bool // the newest state of both is in the set
	allSingle   bool // and of each in its own snapshot
	saved       [2]bool
	next        int
}

func newMover(t *testing.T, open func() durable.StateAdapter) *mover {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return &mover{t: t, open: open, random: rand.New(rand.NewPCG(seed, 0))}
}

func (m *mover) live() {
	m.set = m.random.IntN(2) == 0
	o := named("same", quiet())
	o.Consistent = m.set
	if m.lease < 0 {
		o.LeaseTTL = -1
	}
	d := prepareDuo(m.t, m.open(), o)
	var err error
	d.report, err = d.Restore(m.t.Context())
	require.NoError(m.t, err)
	require.Equal(m.t, [2]int{m.left, m.right}, [2]int{d.left.n(), d.right.n()}, "set: %v, %+v", m.set, d.report.Results)
	m.saved = [2]bool{}
	for range m.random.IntN(4) {
		m.step(d)
	}
	if m.random.IntN(4) == 0 {
		m.left, m.right = d.left.n(), d.right.n()
		require.NoError(m.t, d.Close())
		m.noteSaved(true, true)
		return
	}
	m.t.Cleanup(func() { _ = d.Close() }) // a crash: the next takes the lease
}

func (m *mover) step(d duo) {
	m.next++
	switch m.random.IntN(3) {
	case 0:
		require.NoError(m.t, d.left.Commit(m.t.Context(), func(s *sum) { s.N = m.next }))
		m.left = m.next
		if m.set {
			m.right = d.right.n()
		}
		m.noteSaved(true, false)
	case 1:
		require.NoError(m.t, d.right.Commit(m.t.Context(), func(s *sum) { s.N = m.next }))
		m.right = m.next
		if m.set {
			m.left = d.left.n()
		}
		m.noteSaved(false, true)
	default:
		d.Do(func() { d.left.add(m.next) })
	}
}

func (m *mover) noteSaved(left, right bool) {
	m.saved = [2]bool{m.saved[0] || left, m.saved[1] || right}
	if m.set {
		m.setIsNewest, m.allSingle = true, false
		return
	}
	m.setIsNewest, m.allSingle = false, m.saved == [2]bool{true, true} || m.allSingle
}
