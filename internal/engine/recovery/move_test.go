package recovery_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// TestMovingBetweenSingleStatesAndASetLosesNothing lives many lives, in either
// mode, each of which may end anywhere.
func TestMovingBetweenSingleStatesAndASetLosesNothing(t *testing.T) {
	testkit.OnEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) { moveAbout(t, open, 0, 25) })
}

func TestMovingWithoutOwnershipLosesNothing(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	for range 3 { // the fence of left is above the others
		require.NoError(t, a.DeleteState(t.Context(), "left"))
	}
	moveAbout(t, func() durable.StateAdapter { return testkit.FourMethods{StateAdapter: a} }, -1, 60)
}

func TestMovingLosesNothingWhenStaleCopiesAreEvicted(t *testing.T) {
	for range 20 {
		a := durable.NewMemoryAdapter(nil)
		m := newMover(t, func() durable.StateAdapter { return testkit.Reopen(t, a) })
		for range 20 {
			m.live()
			if m.setIsNewest {
				testkit.Memory(t, a).Wipe("left")
				testkit.Memory(t, a).Wipe("right")
			} else if m.allSingle {
				testkit.Memory(t, a).Wipe("~set")
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
	o := testkit.Named("same", testkit.Quiet())
	o.Consistent = m.set
	if m.lease < 0 {
		o.LeaseTTL = -1
	}
	d := testkit.PrepareDuo(m.t, m.open(), o)
	var err error
	d.Report, err = d.Restore(m.t.Context())
	require.NoError(m.t, err)
	require.Equal(m.t, [2]int{m.left, m.right}, [2]int{d.Left.Value(), d.Right.Value()}, "set: %v, %+v", m.set, d.Report.Results)
	m.saved = [2]bool{}
	for range m.random.IntN(4) {
		m.step(d)
	}
	if m.random.IntN(4) == 0 {
		m.left, m.right = d.Left.Value(), d.Right.Value()
		require.NoError(m.t, d.Close())
		m.noteSaved(true, true)
		return
	}
	m.t.Cleanup(func() { _ = d.Close() }) // a crash: the next takes the lease
}

func (m *mover) step(d testkit.Duo) {
	m.next++
	switch m.random.IntN(3) {
	case 0:
		require.NoError(m.t, d.Left.Commit(m.t.Context(), func(s *testkit.Sum) { s.N = m.next }))
		m.left = m.next
		if m.set {
			m.right = d.Right.Value()
		}
		m.noteSaved(true, false)
	case 1:
		require.NoError(m.t, d.Right.Commit(m.t.Context(), func(s *testkit.Sum) { s.N = m.next }))
		m.right = m.next
		if m.set {
			m.left = d.Left.Value()
		}
		m.noteSaved(false, true)
	default:
		d.Do(func() { d.Left.Add(m.next) })
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
