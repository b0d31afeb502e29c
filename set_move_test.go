package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

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
		prefix := "test:" + strings.ToLower(t.Name()) + ":"
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

func TestMembersThatAreAddedStartByPolicyAndRemovedOnesAreKeptUntilToldOtherwise(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		d := startDuo(t, open(), consistent(quiet()))
		d.work()
		require.NoError(t, d.Close())

		only := func(o *durable.Options) (*durable.Checkpointer, *summed, durable.Report) {
			cp, left := durable.New(open(), consistent(o)), &summed{}
			require.NoError(t, cp.Register("left", left))
			report, err := cp.Restore(t.Context())
			require.NoError(t, err)
			return cp, left, report
		}
		j := &journal{}
		cp, left, report := only(j.options())
		require.Equal(t, []string{"right"}, report.Unregistered)
		require.Contains(t, j.text(), "not registered")
		require.NoError(t, left.Commit(t.Context(), func(s *sum) { s.N = 5 }))
		require.NoError(t, cp.Close())

		d = startDuo(t, open(), consistent(quiet()))
		require.Equal(t, [2]int{5, 1}, [2]int{d.left.n(), d.right.n()}, "the state of the removed one was carried along")
		require.Empty(t, d.report.Unregistered)
		require.NoError(t, d.Close())

		o := quiet()
		o.Components = map[string]durable.ComponentOptions{"right": {Removed: true}}
		cp, _, report = only(o)
		require.Empty(t, report.Unregistered)
		require.NoError(t, cp.Checkpoint(t.Context()))
		require.NoError(t, cp.Close())
		_, err := prepareDuo(t, open(), consistent(o)).Restore(t.Context())
		require.ErrorContains(t, err, "removed")

		o = consistent(quiet())
		o.Components = map[string]durable.ComponentOptions{"right": {Restore: durable.RestoreRequired}}
		d = prepareDuo(t, open(), o)
		_, err = d.Restore(t.Context())
		require.ErrorContains(t, err, `"right"`)
		require.ErrorIs(t, d.left.CheckpointState(t.Context()), durable.ErrNotRestored, "a set is restored as one")
		_ = d.Close() // it lists what it did not restore

		d = startDuo(t, open(), consistent(quiet()))
		require.Equal(t, [2]int{5, 0}, [2]int{d.left.n(), d.right.n()})
		r, _ := d.report.Component("right")
		require.Equal(t, durable.FirstBoot, r.Outcome)
		require.NoError(t, d.Close())
	})
}

func TestAStateThatASetCarriesForSomebodyElseDoesNotBecomeNewer(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	d := startDuo(t, a, consistent(quiet()))
	d.work() // right is 1 in the set
	require.NoError(t, d.Close())
	d = startDuo(t, a, quiet())
	d.work() // and 2 by itself
	require.NoError(t, d.Close())
	cp := durable.New(a, consistent(quiet()))
	require.NoError(t, cp.Register("left", &summed{})) // carries the old right along
	_, err := cp.Restore(t.Context())
	require.NoError(t, err)
	require.NoError(t, cp.Close())
	for _, o := range []*durable.Options{quiet(), consistent(quiet())} {
		d = startDuo(t, a, o)
		d.requireBoth(t, 2, durable.Restored)
		require.NoError(t, d.Close())
	}
}

func TestDeletedStateStaysDeletedInEitherMode(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	d := startDuo(t, a, quiet())
	d.work()
	require.NoError(t, d.Close())
	d = startDuo(t, a, consistent(quiet()))
	d.work()
	require.NoError(t, d.Close())
	require.NoError(t, a.DeleteState(t.Context(), "~set"))
	d = startDuo(t, a, consistent(quiet()))
	d.requireBoth(t, 0, durable.FirstBoot) // and not what they were before they became a set
	d.work()
	require.NoError(t, d.Close())
	d = startDuo(t, a, quiet())
	d.work()
	d.requireBoth(t, 2, durable.Restored)
	require.NoError(t, d.Close())
	require.NoError(t, a.DeleteState(t.Context(), "left"))
	d = startDuo(t, a, consistent(quiet()))
	require.Equal(t, [2]int{0, 2}, [2]int{d.left.n(), d.right.n()}, "right is not touched by it")
	require.NoError(t, d.Close())
}

func TestAnUnreadableSetIsNotPassedOverForOlderSingleStates(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	d := startDuo(t, a, quiet())
	d.work()
	require.NoError(t, d.Close())
	d = startDuo(t, a, consistent(quiet()))
	d.work()
	require.NoError(t, d.Close())
	a.Memory().Wipe("~set")
	for _, o := range []*durable.Options{quiet(), consistent(quiet())} {
		d = prepareDuo(t, a, o)
		_, err := d.Restore(t.Context())
		require.ErrorIs(t, err, durable.ErrLost)
		_ = d.Close()
	}
}

func TestASetSpillsAndIsTakenFromThereInEitherMode(t *testing.T) {
	for _, next := range []*durable.Options{quiet(), consistent(quiet())} {
		bubble(t, func(t *testing.T) {
			spillAndRestore(t, next)
		})
	}
}

func spillAndRestore(t *testing.T, next *durable.Options) {
	a, spill := newFlaky(), durable.NewMemoryAdapter(nil)
	o := consistent(quiet())
	o.Spill, next.Spill = spill, spill
	d := startDuo(t, a, o)
	d.work()
	require.NoError(t, d.Checkpoint(t.Context()))
	d.work()
	a.down("save", "refresh")
	require.ErrorIs(t, d.Close(), errDown)
	a.up("save", "refresh")
	d = startDuo(t, a, next)
	d.requireBoth(t, 2, durable.Restored)
	require.NoError(t, d.Close())
}

func TestASetFallsBackToTheSetBeforeAndIsRolledBackLikeAnyState(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	d := startDuo(t, a, consistent(quiet()))
	for range 3 {
		d.work()
		require.NoError(t, d.Checkpoint(t.Context()))
	}
	require.NoError(t, d.Close())
	a.Memory().Corrupt("~set")
	d = startDuo(t, a, consistent(quiet()))
	d.requireBoth(t, 2, durable.FellBack)
	require.Equal(t, []uint64{3}, d.report.Results[0].Skipped)
	d.work()
	require.NoError(t, d.Close())

	infos, err := a.ListSnapshots(t.Context(), "~set")
	require.NoError(t, err)
	oldest := infos[len(infos)-1]
	for _, i := range infos {
		if i.Err == nil {
			oldest = i
		}
	}
	old, err := a.LoadSnapshot(t.Context(), "~set", oldest.Version)
	require.NoError(t, err)
	newest, err := a.LoadState(t.Context(), "~set")
	require.NoError(t, err)
	require.NoError(t, a.ClaimState(t.Context(), "~set", newest.Epoch+1))
	require.NoError(t, a.SaveState(t.Context(), "~set", &durable.Snapshot{Epoch: newest.Epoch + 1, Codec: old.Codec, Data: old.Data}))
	d = startDuo(t, a, consistent(quiet()))
	d.requireBoth(t, 1, durable.Restored)
	require.NoError(t, d.Close())
}

type stubborn struct{ summed }

func (p *stubborn) StateSchema() int { return 1 }
func (p *stubborn) MigrateState(int, []byte) ([]byte, error) {
	return nil, errors.New("cannot")
}

func TestAPartThatIsRejectedIsSetAsideOrStopsTheSet(t *testing.T) {
	for _, policy := range []durable.RestorePolicy{durable.FreshIfAbsent, durable.FreshIfUnreadable} {
		a := durable.NewMemoryAdapter(nil)
		d := startDuo(t, a, consistent(quiet()))
		d.work()
		require.NoError(t, d.Close())
		before, err := a.LoadState(t.Context(), "~set")
		require.NoError(t, err)
		o := consistent(quiet())
		o.Components = map[string]durable.ComponentOptions{"right": {Restore: policy}}
		cp, left := durable.New(a, o), &summed{}
		require.NoError(t, cp.Register("left", left))
		require.NoError(t, cp.Register("right", &stubborn{}))
		report, err := cp.Restore(t.Context())
		r, _ := report.Component("right")
		require.Equal(t, durable.Rejected, r.Outcome)
		require.Equal(t, 1, left.n())
		if policy == durable.FreshIfAbsent {
			require.Error(t, err)
			require.ErrorIs(t, cp.Checkpoint(t.Context()), durable.ErrNotRestored)
			_ = cp.Close()
			after, err := a.LoadState(t.Context(), "~set")
			require.NoError(t, err)
			require.True(t, bytes.Equal(before.Data, after.Data))
			continue
		}
		require.NoError(t, err)
		require.NoError(t, cp.Close())
		found := false
		for id, err := range a.ListComponents(t.Context()) {
			require.NoError(t, err)
			if strings.HasPrefix(id, "~aside/") && strings.HasSuffix(id, "/right") {
				s, err := a.LoadState(t.Context(), id)
				require.NoError(t, err)
				require.Equal(t, `{"N":1}`, string(s.Data))
				found = true
			}
		}
		require.True(t, found)
	}
}

func TestALargeSetIsStagedAndATooLargeOneIsRefusedNamingTheLargest(t *testing.T) {
	onEveryAdapter(t, func(t *testing.T, open func() durable.StateAdapter) {
		type page struct{ Text string }
		var parts []*durable.StatefulComponent[page]
		build := func(a durable.StateAdapter) *durable.Checkpointer {
			cp := durable.New(a, consistent(quiet()))
			parts = nil
			for i := range 4 {
				p := durable.NewStatefulComponent(page{})
				parts = append(parts, p)
				require.NoError(t, cp.Register(fmt.Sprintf("page-%d", i), p))
			}
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			return cp
		}
		cp := build(open())
		text := strings.Repeat("0123456789", 50_000)
		for _, p := range parts {
			p.Update(func(s *page) { s.Text = text })
		}
		require.NoError(t, cp.Close())
		cp = build(open())
		for _, p := range parts {
			p.View(func(s *page) { require.Equal(t, text, s.Text) })
		}
		require.NoError(t, cp.Close())
	})
	a, err := durable.NewFileAdapter(t.TempDir(), &durable.FileOptions{MaxStateBytes: 1000})
	require.NoError(t, err)
	defer a.Close()
	o := consistent(quiet())
	o.CloseTimeout = 100 * time.Millisecond
	cp := durable.New(a, o)
	small, large := durable.NewStatefulComponent(strings.Repeat("s", 400)), durable.NewStatefulComponent(strings.Repeat("l", 500))
	require.NoError(t, cp.Register("small", small))
	require.NoError(t, cp.Register("large", large))
	_, err = cp.Restore(t.Context())
	require.NoError(t, err)
	err = cp.Checkpoint(t.Context())
	require.ErrorIs(t, err, durable.ErrTooLarge)
	require.ErrorContains(t, err, `"large"`)
	_ = cp.Close()
}
