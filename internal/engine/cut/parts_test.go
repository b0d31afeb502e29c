package cut_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// silent hangs in SnapshotState, fails or panics on demand.
type silent struct {
	testkit.Summed
	do func() error
}

func (s *silent) SnapshotState() ([]byte, error) {
	if s.do != nil {
		if err := s.do(); err != nil {
			return nil, err
		}
	}
	return s.Summed.SnapshotState()
}

func TestOnePartThatCannotGiveItsStateFailsTheSaveAndIsNamed(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		hang := make(chan struct{})
		for name, do := range map[string]func() error{
			"NaN":   func() error { return errors.New("NaN") },
			"panic": func() error { panic("oh") },
			"in time": func() error {
				<-hang
				return nil
			},
		} {
			a := testkit.NewFlaky()
			d := testkit.PrepareDuo(t, a, testkit.Consistent(testkit.Quiet()))
			bad := &silent{}
			require.NoError(t, d.Register("bad", bad))
			_, err := d.Restore(t.Context())
			require.NoError(t, err)
			d.Work()
			require.NoError(t, d.Checkpoint(t.Context()))
			d.Work()
			bad.do = do
			bad.Add(1)
			err = d.Checkpoint(t.Context())
			require.ErrorContains(t, err, name)
			require.ErrorContains(t, err, `"bad"`)
			require.Equal(t, `{"N":1}`, testkit.StoredSet(t, a, "~set")["left"], "no cut without it")
			d.Work() // units go on
			err = d.Close()
			var ce *durable.CloseError
			require.ErrorAs(t, err, &ce)
			require.ErrorContains(t, err, `"left"`)
			if name == "in time" {
				close(hang)
			}
		}
	})
}

func TestAnUnchangedSetIsKeptAliveAndAChangedPartAloneIsEncoded(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, j := testkit.NewFlaky(), &testkit.Journal{}
		o := testkit.Consistent(j.Options())
		o.Interval = time.Second
		d := testkit.PrepareDuo(t, a, o)
		c := &testkit.Custom{Data: []byte("x")}
		require.NoError(t, d.Register("custom", c))
		_, err := d.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, d.Checkpoint(t.Context()))
		first, err := a.LoadState(t.Context(), "~set")
		require.NoError(t, err)
		require.NoError(t, d.Checkpoint(t.Context()))
		again, err := a.LoadState(t.Context(), "~set")
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.Equal(t, 1, j.Count("skip"))
		c.Data = []byte("y")
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, "y", testkit.StoredSet(t, a, "~set")["custom"])
		d.Left.Add(1)
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, map[string]string{"left": `{"N":1}`, "right": `{"N":0}`, "custom": "y"}, testkit.StoredSet(t, a, "~set"))
		testkit.Memory(t, a).Wipe("~set")
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, 1, j.Count("vanished"))
		require.Equal(t, map[string]string{"left": `{"N":1}`, "right": `{"N":0}`, "custom": "y"}, testkit.StoredSet(t, a, "~set"))
		require.NoError(t, d.Close())
	})
}

func TestAComponentThatMakesMoreOfItsSnapshotIsCapturedWithIt(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		cp := durable.New(a, testkit.Consistent(testkit.Quiet()))
		w := &appended{}
		require.NoError(t, cp.Register("w", w))
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		for i := range 3 {
			w.more = i
			require.NoError(t, cp.Checkpoint(t.Context()))
			require.Equal(t, fmt.Sprintf(`{"N":0}%d`, i), testkit.StoredSet(t, a, "~set")["w"])
		}
		require.NoError(t, cp.Close())
	})
}

type appended struct {
	testkit.Summed
	more int
}

func (w *appended) SnapshotState() ([]byte, error) {
	b, err := w.Summed.SnapshotState()
	return fmt.Append(b, w.more), err
}

func TestThePauseIsMeasuredAndAboveItsLimitWarnedOfOnce(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		j := &testkit.Journal{}
		o := testkit.Consistent(j.Options())
		d := testkit.PrepareDuo(t, testkit.NewFlaky(), o)
		slow := &silent{do: func() error { time.Sleep(30 * time.Millisecond); return nil }}
		require.NoError(t, d.Register("slow", slow))
		_, err := d.Restore(t.Context())
		require.NoError(t, err)
		for range 5 {
			d.Work()
			slow.Add(1)
			require.NoError(t, d.Checkpoint(t.Context()))
		}
		require.Equal(t, 1, j.LineCount("PauseLimit"), j.Text())
		require.Contains(t, j.Text(), "component=slow cost=30ms")
		for _, s := range d.Status() {
			require.Equal(t, map[string]time.Duration{"slow": 30 * time.Millisecond, "~set": 30 * time.Millisecond}[s.ComponentID], s.Pause, s.ComponentID)
		}
		saves := 0
		for _, e := range j.Events {
			if e.Op == "save" {
				saves++
				require.Equal(t, "~set", e.ComponentID)
				require.Equal(t, 30*time.Millisecond, e.Pause)
			}
		}
		require.Equal(t, 5, saves)
		require.NoError(t, d.Close())
	})
}

// heavy takes its time to be encoded, and none to be cloned.
type heavy struct{ N int }

func (h *heavy) Clone() heavy { return *h }

func (h *heavy) MarshalState() ([]byte, error) {
	time.Sleep(40 * time.Millisecond)
	return fmt.Append(nil, h.N), nil
}

func (h *heavy) UnmarshalState(b []byte) error {
	_, err := fmt.Sscan(string(b), &h.N)
	return err
}

type heavyOne struct {
	durable.StatefulComponent[heavy]
}

type heavyTwo struct{ heavyOne }

func TestAStateThatCanBeClonedIsEncodedAfterTheUnitsGoOn(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for _, comp := range []durable.Component{durable.NewStatefulComponent(heavy{}), &heavyOne{}, &heavyTwo{}} {
			a := testkit.NewFlaky()
			cp := durable.New(a, testkit.Consistent(testkit.Quiet()))
			require.NoError(t, cp.Register("heavy", comp))
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			require.NoError(t, cp.Checkpoint(t.Context()))
			require.Zero(t, cp.Status()[1].Pause, "%T", comp)
			require.Equal(t, "0", testkit.StoredSet(t, a, "~set")["heavy"])
			require.NoError(t, cp.Close())
		}
	})
}
