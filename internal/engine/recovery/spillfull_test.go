package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// full is a spill that takes no change while why is set.
type full struct {
	*durable.MemoryAdapter
	why error
}

func (f *full) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if f.why != nil {
		return f.why
	}
	return f.MemoryAdapter.SaveState(ctx, id, s)
}

func (f *full) DeleteState(ctx context.Context, id string) error {
	if f.why != nil {
		return f.why
	}
	return f.MemoryAdapter.DeleteState(ctx, id)
}

func TestASpillThatTakesNoChangeKeepsNothingFromStartingAndLosesNothing(t *testing.T) {
	for name, why := range map[string]error{
		"full":      errors.New("no space left on device"),
		"read-only": fmt.Errorf("%w: read-only file system", durable.ErrPermanent),
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, dir := durable.NewMemoryAdapter(nil), &full{MemoryAdapter: durable.NewMemoryAdapter(nil)}
				spill(t, a, spillingTo(dir), "final")
				h := testkit.Start(t, a, nil) // another node goes on without that spill
				require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["else"] = 1 }))
				require.NoError(t, h.Close())

				dir.why = why
				requireWords(t, a, spillingTo(dir), "else")
				f := &failing{StateAdapter: a}
				o := spillingTo(dir)
				o.CloseTimeout = 2 * time.Second
				h = testkit.Start(t, f, o)
				dir.why, f.down = nil, true // and now there is room
				h.Words.Add("more")
				require.Error(t, h.Close())
				f.down = false
				requireWords(t, a, spillingTo(dir), "else", "more")
				requireAside(t, dir, "final")
			})
		})
	}
}

func TestASpilledStateThatIsBackInTheStoreIsInUseThoughTheSpillIsFull(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, dir := durable.NewMemoryAdapter(nil), &full{MemoryAdapter: durable.NewMemoryAdapter(nil)}
		spill(t, a, spillingTo(dir), "final")
		dir.why = errors.New("no space left on device")
		requireWords(t, a, spillingTo(dir), "final")
		requireWords(t, a, spillingTo(dir), "final")
		dir.why = nil
		requireWords(t, a, spillingTo(dir), "final")
	})
}

// unwilling refuses every state.
type unwilling struct{ testkit.WordCounter }

func (*unwilling) RestoreState([]byte) error { return errors.New("a bug of this release") }

func TestALoopOfFreshStartsDoesNotFillTheStore(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words":{"work":1}}`)}))
		for range 30 {
			cp := durable.New(a, unreadableOK())
			require.NoError(t, cp.Register("words", &unwilling{}))
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			require.NoError(t, cp.Close()) // saves what it began with
		}
		requireAside(t, a, `"work"`, `"Words":{}`)
	})
}

func TestWhatAPersonRemovedIsSetAsideAgain(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		for range 3 {
			require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words": "months of work"}`)}))
			require.Equal(t, durable.Rejected, workOn(t, a, unreadableOK()))
			requireAside(t, a, "months of work")
			for id := range asides(t, a) {
				require.NoError(t, a.DeleteState(t.Context(), id))
			}
		}
	})
}
