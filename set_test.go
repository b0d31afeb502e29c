package durable_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestACaptureNeverFallsInsideAUnitOfWork(t *testing.T) {
	require.NoError(t, cutsAreConsistent(t, func(*durable.Checkpointer) {}, 300))
}

// Each of these breaks the capture, and the test above would notice.
func TestABrokenCaptureIsNoticed(t *testing.T) {
	for name, mutate := range durable.SetMutants {
		require.Error(t, cutsAreConsistent(t, mutate, 10_000), name)
	}
}

// cutsAreConsistent reads sets that are saved while units of work run, and outside
// of them Updates of a third component, and says what is wrong with one.
func cutsAreConsistent(t *testing.T, mutate func(*durable.Checkpointer), cuts int) error {
	a := testkit.NewFlaky()
	d := testkit.Duo{Checkpointer: durable.New(a, testkit.Consistent(testkit.Quiet())), Left: &testkit.Summed{}, Right: &testkit.Summed{}}
	plain := &torn{}
	require.NoError(t, d.Register("left", d.Left))
	require.NoError(t, d.Register("right", d.Right))
	require.NoError(t, d.Register("torn", plain))
	_, err := d.Restore(t.Context())
	require.NoError(t, err)
	mutate(d.Checkpointer)
	var stop atomic.Bool
	var workers sync.WaitGroup
	var done atomic.Int64
	for range 4 {
		workers.Go(func() {
			for !stop.Load() {
				d.Do(func() {
					d.Left.Add(1)
					runtime.Gosched()
					d.Right.Add(1)
					done.Add(1)
				})
				plain.Update(func(s *[2]int) { s[0]++; s[1]++ })
			}
		})
	}
	for range cuts {
		before := int(done.Load())
		if err = d.Checkpoint(t.Context()); err != nil {
			break
		}
		if err = judgeCut(testkit.StoredSet(t, a, "~set"), before); err != nil {
			break
		}
	}
	stop.Store(true)
	workers.Wait()
	_ = d.Close()
	return err
}

// judgeCut says what is wrong with a set that was asked for when at least so many
// units were done.
func judgeCut(s map[string]string, atLeast int) error {
	var left, right, x, y int
	_, err1 := fmt.Sscanf(s["left"], `{"N":%d}`, &left)
	_, err2 := fmt.Sscanf(s["right"], `{"N":%d}`, &right)
	_, err3 := fmt.Sscanf(s["torn"], `[%d,%d]`, &x, &y)
	switch err := errors.Join(err1, err2, err3); {
	case err != nil:
		return fmt.Errorf("%v: %w", s, err)
	case left != right:
		return fmt.Errorf("a unit of work is half in it: %d and %d", left, right)
	case left < atLeast:
		return fmt.Errorf("it has %d units, and %d were done before", left, atLeast)
	case x != y:
		return fmt.Errorf("an Update is half in it: %d and %d", x, y)
	}
	return nil
}

type torn struct {
	durable.StatefulComponent[[2]int]
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
