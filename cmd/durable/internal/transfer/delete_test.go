package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/transfer"
)

var ctx = context.Background()

type tally struct{ N int }

// program saves two components, as one set or by themselves.
type program struct {
	cp          *durable.Checkpointer
	left, right durable.StatefulComponent[tally]
}

func start(t *testing.T, a durable.StateAdapter, cut bool) *program {
	p := &program{cp: durable.New(a, &durable.Options{System: "app", Holder: "pod-0", Interval: time.Hour, Consistent: cut, Logger: slog.New(slog.DiscardHandler)})}
	require.NoError(t, p.cp.Register("left", &p.left))
	require.NoError(t, p.cp.Register("right", &p.right))
	_, err := p.cp.Restore(ctx)
	require.NoError(t, err)
	return p
}

func (p *program) save(t *testing.T, n int) {
	p.left.Update(func(s *tally) { s.N = n })
	p.right.Update(func(s *tally) { s.N = n })
	require.NoError(t, p.cp.Checkpoint(ctx))
}

func (p *program) values() (left, right int) {
	p.left.View(func(s *tally) { left = s.N })
	p.right.View(func(s *tally) { right = s.N })
	return left, right
}

var errDied = errors.New("died")

// dying is an adapter whose user dies at its nth change, before or after that is
// made.
type dying struct {
	*durable.MemoryAdapter
	n    int
	made bool
}

func (d *dying) change(do func() error) error {
	d.n--
	switch {
	case d.n > 0:
		return do()
	case d.n == 0 && d.made:
		return errors.Join(do(), errDied)
	}
	return errDied
}

func (d *dying) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	return d.change(func() error { return d.MemoryAdapter.SaveState(ctx, id, s) })
}

func (d *dying) ClaimState(ctx context.Context, id string, epoch uint64) error {
	return d.change(func() error { return d.MemoryAdapter.ClaimState(ctx, id, epoch) })
}

func (d *dying) DeleteState(ctx context.Context, id string) error {
	return d.change(func() error { return d.MemoryAdapter.DeleteState(ctx, id) })
}

func surveyed(t *testing.T, a durable.StateAdapter) *survey.Store {
	s, err := survey.New(a, "app/")
	require.NoError(t, err)
	return s
}

// Whatever change a deletion dies at, the component is as it was or starts fresh,
// an older state of its own never comes back, and the others are not touched. The
// same deletion completes it, also after a program has run.
func TestADeletionThatDiesAnywhereIsCompletedByTheSameOne(t *testing.T) {
	const changes = 4 // two claims, the set, what is stored by itself
	for n := 1; n <= changes+1; n++ {
		for _, made := range []bool{false, true} {
			for _, run := range []string{"nothing", "a set", "components"} {
				t.Run(fmt.Sprintf("change %d, made: %v, then %s", n, made, run), func(t *testing.T) {
					a := durable.NewMemoryAdapter(nil)
					for _, cut := range []bool{false, true} {
						p := start(t, a, cut)
						for i := range 3 {
							p.save(t, 10+i)
						}
						require.NoError(t, p.cp.Close())
					}
					_, err := transfer.Delete(ctx, surveyed(t, &dying{a, n, made}), "app/right")
					if n > changes {
						require.NoError(t, err)
					} else {
						require.ErrorIs(t, err, errDied)
					}
					saved := n > 3 || n == 3 && made
					if run != "nothing" {
						p := start(t, a, run == "a set")
						requireValues(t, p, 12, map[bool]int{true: 0, false: 12}[saved])
						require.NoError(t, p.cp.Close())
					}
					_, err = transfer.Delete(ctx, surveyed(t, a), "app/right")
					require.NoError(t, err)
					for _, cut := range []bool{true, false, true} {
						p := start(t, a, cut)
						requireValues(t, p, 12, 0)
						require.NoError(t, p.cp.Close())
					}
				})
			}
		}
	}
}

func requireValues(t *testing.T, p *program, left, right int) {
	t.Helper()
	l, r := p.values()
	require.Equal(t, [2]int{left, right}, [2]int{l, r})
}

// An owner that restores in the middle of a deletion is taken over once more.
func TestADeletionIsRepeatedWhileOwnersComeInBetween(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	p := start(t, a, true)
	p.save(t, 1)
	_, err := transfer.Delete(ctx, surveyed(t, &interrupting{a, func() {
		_, err := p.cp.Restore(ctx)
		require.NoError(t, err)
		p.save(t, 2)
	}}), "app/right")
	require.NoError(t, err)
	p.right.Update(func(s *tally) { s.N = 3 })
	require.ErrorIs(t, p.cp.Checkpoint(ctx), durable.ErrFenced)
	_, err = p.cp.Restore(ctx)
	require.NoError(t, err)
	requireValues(t, p, 2, 0)
	require.NoError(t, p.cp.Close())
}

// interrupting calls between once, before the first save.
type interrupting struct {
	*durable.MemoryAdapter
	between func()
}

func (i *interrupting) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if do := i.between; do != nil {
		i.between = nil
		do()
	}
	return i.MemoryAdapter.SaveState(ctx, id, s)
}
