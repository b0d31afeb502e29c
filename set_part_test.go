package durable_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

// silent hangs in SnapshotState, fails or panics on demand.
type silent struct {
	summed
	do func() error
}

func (s *silent) SnapshotState() ([]byte, error) {
	if s.do != nil {
		if err := s.do(); err != nil {
			return nil, err
		}
	}
	return s.summed.SnapshotState()
}

func TestOnePartThatCannotGiveItsStateFailsTheSaveAndIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hang := make(chan struct{})
		for name, do := range map[string]func() error{
			"NaN":   func() error { return errors.New("NaN") },
			"panic": func() error { panic("oh") },
			"in time": func() error {
				<-hang
				return nil
			},
		} {
			a := newFlaky()
			d := prepareDuo(t, a, consistent(quiet()))
			bad := &silent{}
			require.NoError(t, d.Register("bad", bad))
			_, err := d.Restore(t.Context())
			require.NoError(t, err)
			d.work()
			require.NoError(t, d.Checkpoint(t.Context()))
			d.work()
			bad.do = do
			bad.add(1)
			err = d.Checkpoint(t.Context())
			require.ErrorContains(t, err, name)
			require.ErrorContains(t, err, `"bad"`)
			require.Equal(t, `{"N":1}`, storedSet(t, a, "~set")["left"], "no cut without it")
			d.work() // units go on
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
	bubble(t, func(t *testing.T) {
		a, j := newFlaky(), &journal{}
		o := consistent(j.options())
		o.Interval = time.Second
		d := prepareDuo(t, a, o)
		c := &custom{data: []byte("x")}
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
		require.Equal(t, 1, j.count("skip"))
		c.data = []byte("y")
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, "y", storedSet(t, a, "~set")["custom"])
		d.left.add(1)
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, map[string]string{"left": `{"N":1}`, "right": `{"N":0}`, "custom": "y"}, storedSet(t, a, "~set"))
		a.Memory().Wipe("~set")
		require.NoError(t, d.Checkpoint(t.Context()))
		require.Equal(t, 1, j.count("vanished"))
		require.Equal(t, map[string]string{"left": `{"N":1}`, "right": `{"N":0}`, "custom": "y"}, storedSet(t, a, "~set"))
		require.NoError(t, d.Close())
	})
}

func TestAComponentThatMakesMoreOfItsSnapshotIsCapturedWithIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		cp := durable.New(a, consistent(quiet()))
		w := &appended{}
		require.NoError(t, cp.Register("w", w))
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		for i := range 3 {
			w.more = i
			require.NoError(t, cp.Checkpoint(t.Context()))
			require.Equal(t, fmt.Sprintf(`{"N":0}%d`, i), storedSet(t, a, "~set")["w"])
		}
		require.NoError(t, cp.Close())
	})
}

type appended struct {
	summed
	more int
}

func (w *appended) SnapshotState() ([]byte, error) {
	b, err := w.summed.SnapshotState()
	return fmt.Append(b, w.more), err
}

func TestThePauseIsMeasuredAndAboveItsLimitWarnedOfOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		j := &journal{}
		o := consistent(j.options())
		d := prepareDuo(t, newFlaky(), o)
		slow := &silent{do: func() error { time.Sleep(30 * time.Millisecond); return nil }}
		require.NoError(t, d.Register("slow", slow))
		_, err := d.Restore(t.Context())
		require.NoError(t, err)
		for range 5 {
			d.work()
			slow.add(1)
			require.NoError(t, d.Checkpoint(t.Context()))
		}
		require.Equal(t, 1, j.lineCount("PauseLimit"), j.text())
		require.Contains(t, j.text(), "component=slow cost=30ms")
		for _, s := range d.Status() {
			require.Equal(t, map[string]time.Duration{"slow": 30 * time.Millisecond, "~set": 30 * time.Millisecond}[s.ComponentID], s.Pause, s.ComponentID)
		}
		saves := 0
		for _, e := range j.events {
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
	bubble(t, func(t *testing.T) {
		for _, comp := range []durable.Component{durable.NewStatefulComponent(heavy{}), &heavyOne{}, &heavyTwo{}} {
			a := newFlaky()
			cp := durable.New(a, consistent(quiet()))
			require.NoError(t, cp.Register("heavy", comp))
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			require.NoError(t, cp.Checkpoint(t.Context()))
			require.Zero(t, cp.Status()[1].Pause, "%T", comp)
			require.Equal(t, "0", storedSet(t, a, "~set")["heavy"])
			require.NoError(t, cp.Close())
		}
	})
}

func FuzzOpenSet(f *testing.F) {
	one, err := durable.EncodeSnapshot("a", &durable.Snapshot{WriteID: "w", Codec: "json", Data: []byte("{}")})
	require.NoError(f, err)
	two, err := durable.EncodeSnapshot("b", &durable.Snapshot{WriteID: "w", Codec: "json", Data: []byte("{}")})
	require.NoError(f, err)
	both := append(append([]byte{}, one...), two...)
	n, err := durable.OpenSet(both)
	require.NoError(f, err)
	require.Equal(f, 2, n)
	_, err = durable.OpenSet(append(append([]byte{}, one...), one...))
	require.ErrorIs(f, err, durable.ErrCorrupt)
	f.Add(both)
	f.Add(both[:len(both)-1])
	f.Add(append(both, "x"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := durable.OpenSet(b)
		if err != nil && !errors.Is(err, durable.ErrCorrupt) && !errors.Is(err, durable.ErrTooNew) {
			t.Fatal(err)
		}
		if n > len(b) {
			t.Fatal(n)
		}
	})
}
