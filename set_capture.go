package durable

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

type digest = [sha256.Size]byte

// shot is the capture of one part.
type shot struct {
	p       *part
	changes uint64
	reused  bool                   // nothing changed: the envelope of the last cut is good
	state   *Snapshot              // nil until the clone is encoded
	encode  func() ([]byte, error) // encodes the clone
	digest  digest                 // of the data, for a component that does not count its changes
	raw     []byte
	cost    time.Duration
	err     error
}

// capture takes one consistent cut: while no unit of work is under way every
// component that has changed is cloned, or encoded if it cannot be cloned. The
// clones are encoded after that.
func (s *set) capture(ctx context.Context) (*Snapshot, error) {
	for _, p := range s.parts {
		if p.working.Load() {
			return nil, fmt.Errorf("component %q: its callback of an earlier attempt has not returned", p.m.id())
		}
	}
	shots, err := s.freeze(ctx)
	if err == nil {
		err = s.each(ctx, shots, (*shot).finish)
	}
	if err != nil {
		return nil, err
	}
	return &Snapshot{Codec: codecSet, Data: s.assemble(shots)}, nil
}

// freeze captures what has changed while units of work are held up.
func (s *set) freeze(ctx context.Context) ([]*shot, error) {
	shots := make([]*shot, len(s.parts))
	begin := time.Now()
	if err := s.hold(ctx); err != nil {
		s.paused(time.Since(begin), time.Since(begin), nil)
		return nil, err
	}
	waited := time.Since(begin)
	err := func() error {
		defer s.units.Open()
		for i, p := range s.parts {
			shots[i] = p.look()
		}
		return s.each(ctx, shots, (*shot).freeze)
	}()
	pause := time.Since(begin)
	if err != nil {
		s.paused(pause, waited, nil) // a callback that hangs may still write into its shot
		return nil, err
	}
	s.paused(pause, waited, shots)
	return shots, nil
}

// look begins a shot and sees whether there is anything to capture.
func (p *part) look() *shot {
	x := &shot{p: p, changes: p.m.changeCount()} // before the capture, so that it covers at least these
	x.reused = p.m.counts() && p.raw != nil && x.changes == p.shot.changes
	return x
}

// each calls do for every shot that has something to do, on as many goroutines as
// there are processors. When ctx ends before do returns, its component is to blame
// and is not called again until it has returned.
func (s *set) each(ctx context.Context, shots []*shot, do func(*shot)) error {
	var todo []*shot
	for _, x := range shots {
		if !x.reused {
			todo = append(todo, x)
		}
	}
	var next atomic.Int64
	var over atomic.Bool
	done := make(chan struct{}, len(todo))
	work := func() {
		for i := next.Add(1); int(i) <= len(todo); i = next.Add(1) {
			x := todo[i-1]
			x.p.working.Store(true)
			if !over.Load() {
				do(x)
			}
			x.p.working.Store(false)
			done <- struct{}{}
		}
	}
	for range min(runtime.GOMAXPROCS(0), len(todo)) {
		if !s.c.spawn(work) {
			return s.m.fail("save", ErrClosed)
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
	var errs []error
	for _, x := range todo {
		if x.err != nil {
			errs = append(errs, fmt.Errorf("component %q: %w", x.p.m.id(), x.err))
		}
	}
	return errors.Join(errs...)
}

// blame names the components whose callbacks are under way.
func blame(shots []*shot) string {
	var ids []string
	for _, x := range shots {
		if x.p.working.Load() {
			ids = append(ids, fmt.Sprintf("%q", x.p.m.id()))
		}
	}
	return "not all of the state was captured in time, waiting for " + strings.Join(ids, ", ")
}

// freeze clones the state, or encodes it if it cannot be cloned.
func (x *shot) freeze() {
	begin := time.Now()
	defer func() { x.cost = time.Since(begin) }()
	m := x.p.m
	defer recovered(m, "Clone", &x.err)
	if m.promoted {
		x.encode = m.tracked().freeze()
	}
	if x.encode == nil {
		x.state, x.err = m.capture(context.Background())
	}
}

// finish encodes a clone and makes the envelope.
func (x *shot) finish() {
	m, p := x.p.m, x.p
	defer recovered(m, "SnapshotState", &x.err)
	if x.encode != nil {
		var data []byte
		if data, x.err = x.encode(); x.err != nil {
			return
		}
		x.state = &Snapshot{Schema: m.schema(), Codec: m.codec(), Data: append([]byte{}, data...)}
		m.extended.Store(false)
	}
	if !m.counts() {
		x.digest = sha256.Sum256(x.state.Data)
		if p.raw != nil && p.shot.digest == x.digest {
			x.reused = true
			return
		}
	}
	s := p.s.m
	s.mu.Lock()
	x.state.Epoch, x.state.Version = s.stored.epoch, s.stored.tried+1
	s.mu.Unlock()
	x.state.WriteID, x.state.SavedAt = rand.Text(), time.Now()
	x.raw, x.err = seal(m.id(), x.state)
}

// assemble makes the payload and remembers its parts, which the next cut takes
// over as far as they are still good.
func (s *set) assemble(shots []*shot) []byte {
	raws := make([][]byte, 0, len(shots)+len(s.carried))
	for _, x := range shots {
		if x.reused {
			x.raw = x.p.raw
		}
		raws = append(raws, x.raw)
	}
	for _, e := range s.carried {
		raws = append(raws, e.raw)
	}
	data, parts := joinSet(raws)
	s.cut = cut{}
	sum := sha256.New()
	uncounted := false
	s.mu.Lock()
	for i, x := range shots {
		p := x.p
		if !x.reused || p.shot == nil {
			p.bytes = len(x.state.Data)
		} else {
			x.state, x.digest = p.shot.state, p.shot.digest
		}
		uncounted = uncounted || !p.m.counts()
		p.shot, p.raw, p.captured = x, parts[i], x.changes
		s.cut.changes += x.changes
		sum.Write([]byte(x.state.WriteID)) // which names the content
		x.encode, x.state.Data = nil, nil  // they would keep a copy of the state alive
	}
	s.mu.Unlock()
	sum.Sum(s.cut.digest[:0])
	s.m.extended.Store(uncounted)
	return data
}

// paused notes how long units of work were held up, and what for.
func (s *set) paused(pause, waited time.Duration, shots []*shot) {
	s.m.mu.Lock()
	s.held = pause
	s.m.mu.Unlock()
	s.mu.Lock()
	s.pause = pause
	slowest := &shot{p: &part{m: s.m}}
	for _, x := range shots {
		x.p.cost = x.cost
		if x.cost > slowest.cost {
			slowest = x
		}
	}
	s.mu.Unlock()
	if limit := s.c.opts.PauseLimit; limit < 0 || pause <= limit || pause < 2*s.warned {
		return
	}
	s.warned = pause
	s.c.log.Warn("durable: a checkpoint held units of work up for longer than PauseLimit; a Clone method makes it shorter",
		"pause", pause, "limit", s.c.opts.PauseLimit, "component", slowest.p.m.id(), "cost", slowest.cost, "waited_for_units", waited)
}
