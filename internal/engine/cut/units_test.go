package cut_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/adapter"
	"github.com/durablestate/durable/internal/barrier"
	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/cut"
	"github.com/durablestate/durable/internal/engine/flight"
	"github.com/durablestate/durable/internal/engine/lease"
	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/memstore"
	"github.com/durablestate/durable/internal/store"
)

func TestACaptureNeverFallsInsideAUnitOfWork(t *testing.T) {
	require.NoError(t, cutsAreConsistent(t, func(*rig) {}, 300))
}

// Each of these breaks the capture, and the test above would notice.
func TestABrokenCaptureIsNoticed(t *testing.T) {
	for name, mutate := range map[string]func(r *rig){
		"drops one member":               func(r *rig) { r.sources = r.sources[:len(r.sources)-1] },
		"captures outside the barrier":   func(r *rig) { r.config.Units = barrier.New() },
		"reuses a stale encoded form":    func(r *rig) { r.sources[1] = stopped{r.sources[1]} },
		"lets a member lie of its place": func(r *rig) { r.sources[0] = renamed{r.sources[0]} },
	} {
		require.Error(t, cutsAreConsistent(t, mutate, 10_000), name)
	}
}

// rig is a set on a store in memory, with what a mutant may break.
type rig struct {
	store   *adapter.Adapter
	units   *barrier.Barrier
	config  cut.Config
	sources []cut.Source
}

func newRig(t *testing.T, sources ...cut.Source) *rig {
	log := slog.New(slog.DiscardHandler)
	routines := wait.NewRoutines()
	t.Cleanup(func() { <-routines.End() })
	r := &rig{store: &adapter.Adapter{Store: memstore.New(3, 0)}, units: barrier.New(), sources: sources}
	r.config = cut.Config{Units: r.units, Routines: routines, Interval: time.Minute, PauseLimit: -1, System: &saver.System{
		Backend: backend.Backend{States: r.store}, Ownership: lease.Alone{}, Log: log,
		Words: backend.Words{
			Fault: func(op, id string, err error) error { return fmt.Errorf("%s %q: %w", op, id, err) },
			Fence: func(err error) (store.Fence, bool) { return store.FenceOf(err), false },
		},
		Crew: flight.NewCrew(routines), Deadlines: wait.NewDeadlines(context.Background(), time.Minute), Timeout: time.Minute, Closing: context.Background(),
		Outages: saver.NewOutages(log),
		Retry:   func(*saver.Saver, time.Time) {}, Count: func() int { return len(sources) }, Made: time.Now(),
	}}
	return r
}

// open returns a set of the sources that may be saved.
func (r *rig) open() *cut.Set {
	s := cut.New(r.config)
	for _, source := range r.sources {
		s.Add(source, &saver.Saver{})
	}
	s.Open(1, store.Fence{}, nil, make([]cut.Taken, len(r.sources)))
	return s
}

// stored returns the states of the stored set by their ids.
func (r *rig) stored(ctx context.Context) (map[string]string, error) {
	snap, err := r.store.Load(ctx, store.SetID)
	if err != nil {
		return nil, err
	}
	entries, err := envelope.ReadSet(snap.Data)
	states := map[string]string{}
	for _, e := range entries {
		states[e.ID] = string(e.Record.Data)
	}
	return states, err
}

// source is a component of two numbers that every change makes grow alike.
type source struct {
	id string

	mu      sync.Mutex
	x, y    int
	changes uint64
}

func (s *source) add() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.x++
	runtime.Gosched()
	s.y++
}

func (s *source) ID() string { return s.id }

func (s *source) Mark() component.Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return component.Mark{Changes: s.changes, Exact: true, Fresh: s.changes == 0}
}

func (s *source) Capture(context.Context) (component.Capture, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return component.Capture{Changes: s.changes, Snapshot: &store.Snapshot{Data: fmt.Appendf(nil, "%d %d", s.x, s.y)}}, nil
}

// Freeze is that of a component that can be cloned: left, say.
func (s *source) Freeze() (func() (component.Capture, error), error) {
	if s.id != "left" {
		return nil, nil
	}
	c, err := s.Capture(context.Background())
	return func() (component.Capture, error) { return c, err }, nil
}

// stopped is a count of changes that stands still.
type stopped struct{ cut.Source }

func (stopped) Mark() component.Mark { return component.Mark{Exact: true} }

// renamed is a component that says it is another one.
type renamed struct{ cut.Source }

func (renamed) ID() string { return "right" }

// cutsAreConsistent reads sets that are saved while units of work run, and outside
// of them changes of a third component, and says what is wrong with one.
func cutsAreConsistent(t *testing.T, mutate func(*rig), cuts int) error {
	left, right, torn := &source{id: "left"}, &source{id: "right"}, &source{id: "torn"}
	r := newRig(t, left, right, torn)
	mutate(r)
	set := r.open()
	var stop atomic.Bool
	var workers sync.WaitGroup
	var done atomic.Int64
	for range 4 {
		workers.Go(func() {
			for !stop.Load() {
				pass := r.units.Enter()
				left.add()
				runtime.Gosched()
				right.add()
				done.Add(1)
				pass.Leave()
				torn.add()
			}
		})
	}
	defer workers.Wait()
	defer stop.Store(true)
	for range cuts {
		before := int(done.Load())
		if err := set.Saver.Checkpoint(t.Context()); err != nil {
			return err
		}
		states, err := r.stored(t.Context())
		if err == nil {
			err = judgeCut(states, before)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// judgeCut says what is wrong with a set that was asked for when at least so many
// units were done.
func judgeCut(s map[string]string, atLeast int) error {
	var left, right, torn [2]int
	var errs []error
	for id, n := range map[string]*[2]int{"left": &left, "right": &right, "torn": &torn} {
		_, err := fmt.Sscan(s[id], &n[0], &n[1])
		errs = append(errs, err)
	}
	switch err := errors.Join(errs...); {
	case err != nil:
		return fmt.Errorf("%v: %w", s, err)
	case left != right:
		return fmt.Errorf("a unit of work is half in it: %d and %d", left, right)
	case left[0] < atLeast:
		return fmt.Errorf("it has %d units, and %d were done before", left, atLeast)
	case torn[0] != torn[1]:
		return fmt.Errorf("a change is half in it: %d", torn)
	}
	return nil
}
