package recovery_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/testkit"
)

// spoilt are ways in which a spilled state cannot be read, and what a load calls it.
var spoilt = map[string]struct {
	spoil   func(t *testing.T, dir durable.StateAdapter, id string)
	outcome durable.Outcome
}{
	"corrupt": {func(t *testing.T, dir durable.StateAdapter, id string) { testkit.Memory(t, dir).Corrupt(id) }, durable.Corrupt},
	"too new": {func(t *testing.T, dir durable.StateAdapter, id string) {
		testkit.Memory(t, dir).Edit(id, func([]byte) []byte { return newer("final") })
	}, durable.TooNew},
}

// never spills the first state that a program ever had, so that its store has none.
func never(t *testing.T, a, dir durable.StateAdapter) { spill(t, a, spillingTo(dir), "final") }

// after spills a state above one that the store has.
func after(t *testing.T, a, dir durable.StateAdapter) {
	h := testkit.Start(t, a, spillingTo(dir))
	require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["acknowledged"] = 1 }))
	require.NoError(t, h.Close())
	spill(t, a, spillingTo(dir), "final")
}

func TestAStoreWithoutStateIsNoFirstBootWhenTheSpillHasOneThatCannotBeRead(t *testing.T) {
	for name, of := range spoilt {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, dir := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
				never(t, a, dir)
				of.spoil(t, dir, "words")
				for range 3 { // no start makes the next one forget
					h := testkit.Prepare(t, a, spillingTo(dir))
					r, err := h.Restore(t.Context())
					require.Error(t, err)
					require.Equal(t, of.outcome, r.Results[0].Outcome)
					require.ErrorContains(t, err, "spill")
					_ = h.Close()
				}
				o := spillingTo(dir)
				o.Restore = durable.FreshIfUnreadable
				require.Equal(t, of.outcome, workOn(t, a, o))
				require.Equal(t, durable.Restored, workOn(t, a, spillingTo(dir)))
				requireAside(t, dir, "final")
			})
		})
	}
}

func TestASpilledStateThatDoesNotVerifyCostsOneGenerationLoudly(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, dir := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
		after(t, a, dir)
		s, err := dir.LoadState(t.Context(), "words")
		require.NoError(t, err)
		testkit.Memory(t, dir).Corrupt("words")
		h := testkit.Start(t, a, spillingTo(dir))
		require.Equal(t, durable.FellBack, h.Outcome(t))
		require.Equal(t, []uint64{s.Version}, h.Report.Results[0].Skipped)
		require.Equal(t, 1, h.Words.Count("acknowledged"))
		require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["more"] = 1 }))
		require.NoError(t, h.Close())
		requireWords(t, a, spillingTo(dir), "acknowledged", "more")
		requireAside(t, dir, "fina") // of its end one byte is not what it was
	})
}

func TestASpilledStateOfANewerReleaseIsNoReasonToUseAnOlderState(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, dir := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
		after(t, a, dir)
		var was []byte
		testkit.Memory(t, dir).Edit("words", func(b []byte) []byte { was = b; return newer("final") })
		for range 3 {
			h := testkit.Prepare(t, a, spillingTo(dir))
			r, err := h.Restore(t.Context())
			require.ErrorIs(t, err, durable.ErrTooNew)
			require.Equal(t, durable.TooNew, r.Results[0].Outcome)
			_ = h.Close()
		}
		testkit.Memory(t, dir).Edit("words", func([]byte) []byte { return was })
		requireWords(t, a, spillingTo(dir), "acknowledged", "final") // the newer release is back
	})
}

func TestAFreshStartBesideASpillOfANewerReleaseSetsTheOlderStateAside(t *testing.T) {
	for name, hide := range map[string]func(durable.StateAdapter) durable.StateAdapter{
		"all methods":  func(a durable.StateAdapter) durable.StateAdapter { return a },
		"four methods": func(a durable.StateAdapter) durable.StateAdapter { return testkit.FourMethods{StateAdapter: a} },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, dir := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
				after(t, hide(a), dir)
				testkit.Memory(t, dir).Edit("words", func([]byte) []byte { return newer("final") })
				o := spillingTo(dir)
				o.Restore = durable.FreshIfUnreadable
				require.Equal(t, durable.TooNew, workOn(t, hide(a), o))
				requireAside(t, a, "acknowledged")
			})
		})
	}
}

func TestASetThatWasSpilledAndCannotBeReadIsNotPassedOver(t *testing.T) {
	for name, of := range spoilt {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, dir := testkit.NewFlaky(), durable.NewMemoryAdapter(nil)
				d := testkit.StartDuo(t, a, testkit.Consistent(spillingTo(dir)))
				d.Work()
				a.Down("save", "refresh")
				require.Error(t, d.Close())
				a.Up("save", "refresh")
				of.spoil(t, dir, "~set")
				for range 2 {
					d = testkit.PrepareDuo(t, a, testkit.Consistent(spillingTo(dir)))
					r, err := d.Restore(t.Context())
					require.Error(t, err)
					require.Equal(t, of.outcome, r.Results[0].Outcome)
					_ = d.Close()
				}
			})
		})
	}
}

func TestWhatIsSpilledLaterDoesNotOverwriteASpillThatCannotBeRead(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, dir := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
		after(t, a, dir)
		testkit.Memory(t, dir).Corrupt("words")
		spill(t, a, spillingTo(dir), "second")
		spill(t, a, spillingTo(dir), "third")
		requireWords(t, a, spillingTo(dir), "acknowledged", "second", "third")
		requireAside(t, dir, "final")
	})
}

func TestTheOlderOfTwoSpilledGenerationsDoesNotTakeTheDamagedOneAway(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, dir := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
		after(t, a, dir)
		s, err := dir.LoadState(t.Context(), "words")
		require.NoError(t, err)
		s.Version, s.LastVersion, s.Data = s.Version+1, 0, bytes.ReplaceAll(s.Data, []byte("final"), []byte("newer"))
		require.NoError(t, dir.SaveState(t.Context(), "words", s))
		testkit.Memory(t, dir).Corrupt("words")
		h := testkit.Start(t, a, spillingTo(dir))
		require.Equal(t, durable.FellBack, h.Outcome(t))
		require.Equal(t, []uint64{s.Version}, h.Report.Results[0].Skipped)
		require.Equal(t, 1, h.Words.Count("final"))
		require.NoError(t, h.Close())
		requireAside(t, dir, "newer", "final")
		requireWords(t, a, spillingTo(dir), "acknowledged", "final")
	})
}

// forgetful is a spill of somebody else, which cannot list what it has and whose
// answers carry no fence.
type forgetful struct{ durable.StateAdapter }

func (f forgetful) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	s, err := f.StateAdapter.LoadState(ctx, id)
	for _, answer := range []error{durable.ErrNotFound, durable.ErrCorrupt, durable.ErrTooNew} {
		if outcomeOf(err) == outcomeOf(answer) && err != nil {
			return nil, answer
		}
	}
	return s, err
}

func TestASpillThatTellsNoVersionsIsNotPassedOver(t *testing.T) {
	for name, of := range spoilt {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, dir := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
				never(t, a, forgetful{dir})
				of.spoil(t, dir, "words")
				h := testkit.Prepare(t, a, spillingTo(forgetful{dir}))
				r, err := h.Restore(t.Context())
				require.Error(t, err)
				require.Equal(t, of.outcome, r.Results[0].Outcome)
				_ = h.Close()
			})
		})
	}
}

// outcomeOf names an answer of a load.
func outcomeOf(err error) durable.Outcome { return durable.Outcome(store.OutcomeOf(err)) }
