package cut

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// shot is the capture of one part.
type shot struct {
	p       *Part
	last    *shot // in the last cut, nil for none
	changes uint64
	reused  bool                              // nothing changed: the envelope of the last cut is good
	encode  func() (component.Capture, error) // encodes the clone
	content component.Capture                 // empty until the clone is encoded
	writeID string                            // names the content
	raw     []byte                            // its envelope
	cost    time.Duration
	err     error
}

// Capture takes one consistent cut: while no unit of
// work is under way every component that has changed is cloned, or encoded if it
// cannot be cloned. The clones are encoded after that.
func (s *Set) Capture(ctx context.Context) (component.Capture, error) {
	parts := s.list()
	for _, p := range parts {
		if p.working.Load() {
			return component.Capture{}, fmt.Errorf("component %q: its callback of an earlier attempt has not returned", p.source.ID())
		}
	}
	shots, err := s.freeze(ctx, parts)
	if err == nil {
		epoch, version := s.Saver.Next()
		err = s.each(ctx, shots, func(x *shot) { x.finish(epoch, version) })
	}
	if err != nil {
		return component.Capture{}, err
	}
	return s.assemble(shots), nil
}

// freeze captures what has changed while units of work are held up.
func (s *Set) freeze(ctx context.Context, parts []*Part) ([]*shot, error) {
	shots := make([]*shot, len(parts))
	begin := time.Now()
	err := s.Hold(ctx)
	waited := time.Since(begin)
	if err == nil {
		err = s.freezeHeld(ctx, parts, shots)
	}
	if err != nil {
		shots = nil // a callback that hangs may still write into its shot
	}
	s.paused(time.Since(begin), waited, shots)
	return shots, err
}

// freezeHeld is freeze when units of work are held up; it lets them go on.
func (s *Set) freezeHeld(ctx context.Context, parts []*Part, shots []*shot) error {
	defer s.Units.Open()
	for i, p := range parts {
		shots[i] = p.look()
	}
	return s.each(ctx, shots, (*shot).freeze)
}

// look begins a shot and sees whether there is anything to capture.
func (p *Part) look() *shot {
	m := p.source.Mark() // before the capture, so that it covers at least these changes
	return &shot{p: p, last: p.shot, changes: m.Changes, reused: m.Exact && p.shot != nil && m.Changes == p.shot.changes}
}

// each calls do for every shot that has something to do, on as many goroutines as
// there are processors. When ctx ends before do returns, its component is to blame
// and is not called again until it has returned.
func (s *Set) each(ctx context.Context, shots []*shot, do func(*shot)) error {
	todo := slices.DeleteFunc(slices.Clone(shots), func(x *shot) bool { return x.reused })
	var next atomic.Int64
	var over atomic.Bool
	done := make(chan struct{}, len(todo))
	work := func() {
		for i := next.Add(1); int(i) <= len(todo); i = next.Add(1) {
			if over.Load() {
				return
			}
			x := todo[i-1]
			x.p.working.Store(true)
			do(x)
			x.p.working.Store(false)
			done <- struct{}{}
		}
	}
	for range min(runtime.GOMAXPROCS(0), len(todo)) {
		if !s.Routines.Go(work) {
			return s.Saver.Fail("save", store.ErrClosed)
		}
	}
	for range todo {
		select {
		case <-done:
		case <-ctx.Done():
			over.Store(true)
			return fmt.Errorf("%s: %w", blame(todo), ctx.Err())
		}
	}
	return failures(todo)
}

// mostNamed bounds how many components an error of the set names: it is the error of
// every one of them.
const mostNamed = 10

// failures joins the errors of shots.
func failures(shots []*shot) error {
	var errs []error
	failed := 0
	for _, x := range shots {
		if x.err == nil {
			continue
		}
		if failed++; failed <= mostNamed {
			errs = append(errs, fmt.Errorf("component %q: %w", x.p.source.ID(), x.err))
		}
	}
	if failed > mostNamed {
		errs = append(errs, fmt.Errorf("and %d more components", failed-mostNamed))
	}
	return errors.Join(errs...)
}

// blame names the components whose callbacks are under way.
func blame(shots []*shot) string {
	var ids []string
	for _, x := range shots {
		if x.p.working.Load() {
			ids = append(ids, fmt.Sprintf("%q", x.p.source.ID()))
		}
	}
	return "not all of the state was captured in time, waiting for " + strings.Join(ids, ", ")
}

// freeze clones the state, or encodes it if it cannot be cloned.
func (x *shot) freeze() {
	begin := time.Now()
	defer func() { x.cost = time.Since(begin) }()
	if x.encode, x.err = x.p.source.Freeze(); x.encode == nil && x.err == nil {
		x.content, x.err = x.p.source.Capture(context.Background())
	}
}

// finish encodes a clone and makes the envelope, of that epoch and version.
func (x *shot) finish(epoch, version uint64) {
	if x.encode != nil {
		if x.content, x.err = x.encode(); x.err != nil {
			return
		}
	}
	if d := x.content.Digest; d != (component.Digest{}) && x.last != nil && x.last.content.Digest == d {
		x.reused = true
		return
	}
	x.writeID = rand.Text()
	snap := x.content.Snapshot
	snap.Epoch, snap.Version, snap.WriteID, snap.SavedAt = epoch, version, x.writeID, time.Now()
	x.raw, x.err = envelope.Append(nil, &envelope.Record{ID: x.p.source.ID(), Kind: envelope.Snapshot, Snapshot: *snap})
}

// assemble makes the payload and remembers its parts, which the next cut takes
// over as far as they are still good.
func (s *Set) assemble(shots []*shot) component.Capture {
	raws := make([][]byte, 0, len(shots)+len(s.carried))
	for _, x := range shots {
		if x.reused {
			x.raw, x.content, x.writeID = x.last.raw, x.last.content, x.last.writeID
		}
		raws = append(raws, x.raw)
	}
	for i := range s.carried {
		raws = append(raws, s.carried[i].Raw)
	}
	data, places := envelope.JoinSet(raws)
	cut := component.Capture{Snapshot: &store.Snapshot{Codec: envelope.SetCodec, Data: data}}
	sum := sha256.New()
	exact := true
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range shots {
		p := x.p
		if !x.reused {
			p.bytes = len(x.content.Snapshot.Data)
		}
		exact = exact && p.source.Mark().Exact
		p.shot, p.captured, x.raw = x, x.changes, places[i]
		cut.Changes += x.changes
		sum.Write([]byte(x.writeID))
		x.last, x.encode, x.content.Snapshot = nil, nil, nil // they would keep copies of the state alive
	}
	s.exact.Store(exact)
	sum.Sum(cut.Digest[:0])
	return cut
}

// paused notes how long units of work were held up, and what for.
func (s *Set) paused(pause, waited time.Duration, shots []*shot) {
	s.mu.Lock()
	s.pause, s.held = pause, pause
	slowest, cost := store.SetID, time.Duration(0)
	for _, x := range shots {
		x.p.cost = x.cost
		if x.cost > cost {
			slowest, cost = x.p.source.ID(), x.cost
		}
	}
	s.mu.Unlock()
	if s.PauseLimit < 0 || pause <= s.PauseLimit || pause < 2*s.warned {
		return
	}
	s.warned = pause
	s.System.Log.Warn("durable: a checkpoint held units of work up for longer than PauseLimit; a Clone method makes it shorter",
		"pause", pause, "limit", s.PauseLimit, "component", slowest, "cost", cost, "waited_for_units", waited)
}
