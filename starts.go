package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// startsID is the reserved id under which a Checkpointer counts its starts.
const startsID = "~starts"

// healthyIntervals is how many intervals a process must have run for its start
// to count as a good one.
const healthyIntervals = 3

// starts counts the starts in a row that came to no good end: neither Close nor
// a few intervals of work. A state that restores and then brings the process
// down shows itself that way. The count is a small state of its own, written
// under the lease before any component is restored, so that also a component
// that dies of its state while it is restored is counted.
type starts struct {
	c *Checkpointer

	turn   chan struct{} // held by who uses what follows, also while he asks the store
	noted  bool          // this start was counted
	ended  bool          // and came to a good end
	epoch  uint64        // under which it was counted
	loaded bool          // before is known
	before int           // starts in a row without a good end, before this one
}

func newStarts(c *Checkpointer) *starts {
	return &starts{c: c, turn: make(chan struct{}, 1)}
}

// take waits for the turn of ctx's caller.
func (s *starts) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *starts) yield() { <-s.turn }

type startCount struct{ Starts int }

// off reports that nobody asked for the count.
func (s *starts) off() bool { return s.c.opts.MaxCrashRestarts == 0 }

func (s *starts) id() string { return s.c.namespace() + startsID }

// note counts this start, once, and returns how many before it came to no good
// end. Above the limit that is an error and nothing is counted. It tries again
// while the store cannot be reached and ctx lasts.
func (s *starts) note(ctx context.Context, epoch uint64) (int, error) {
	if s.off() {
		return 0, nil
	}
	if err := s.take(ctx); err != nil {
		return 0, &Error{Op: "restore", ComponentID: startsID, Err: err}
	}
	defer s.yield()
	if s.noted {
		return s.before, nil
	}
	for wait := newBackoff(maxStoreBackoff); ; {
		err := s.noteOnce(ctx, epoch)
		if err == nil {
			return s.before, s.judge()
		}
		s.loaded = s.loaded && !errors.Is(err, errOutclaimed)
		if definite(err) {
			return 0, err
		}
		err = &Error{Op: "restore", ComponentID: startsID, Err: err}
		s.c.waitFor(err)
		if !wait.sleep(ctx) {
			return 0, err
		}
	}
}

// noteOnce takes the count over and writes it, unless this start is refused.
func (s *starts) noteOnce(ctx context.Context, epoch uint64) error {
	ctx, cancel := context.WithTimeout(ctx, s.c.opts.SaveTimeout)
	defer cancel()
	if err := s.claim(ctx, epoch); err != nil {
		return err
	}
	if !s.loaded { // a save that failed may have been stored
		before, err := s.load(ctx)
		if err != nil {
			return err
		}
		s.before, s.loaded = before, true
	}
	if s.before > s.c.opts.MaxCrashRestarts {
		return nil
	}
	s.epoch = epoch
	err := s.save(ctx, s.before+1)
	s.noted = err == nil
	return outclaimed(err)
}

func (s *starts) claim(ctx context.Context, epoch uint64) error {
	if s.c.owner == nil {
		return nil
	}
	return outclaimed(s.c.owner.ClaimState(ctx, s.id(), epoch))
}

func outclaimed(err error) error {
	if errors.Is(err, ErrFenced) {
		return fmt.Errorf("%w: %w", errOutclaimed, err)
	}
	return err
}

// judge refuses to start once more when that has gone wrong too often.
func (s *starts) judge() error {
	if s.before > 0 {
		s.c.log.Warn("durable: earlier starts ended neither with Close nor after a while of work", "starts", s.before)
	}
	if s.noted {
		return nil
	}
	return &Error{Op: "restore", Err: fmt.Errorf("the last %d starts ended neither with Close nor after %d intervals of work, and MaxCrashRestarts is %d: "+
		"the state may be what brings the process down; roll it back or run a program that can read it, then delete the state %q, or raise max_crash_restarts for one start",
		s.before, healthyIntervals, s.c.opts.MaxCrashRestarts, s.id())}
}

// load returns the stored count. One that expired or cannot be used is 0: it is
// no state that anybody misses.
func (s *starts) load(ctx context.Context) (int, error) {
	snap, err := s.c.adapter.LoadState(ctx, s.id())
	var n startCount
	if err == nil {
		err = json.Unmarshal(snap.Data, &n)
	} else if !definite(err) || errors.Is(err, ErrClosed) {
		return 0, err
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		s.c.log.Warn("durable: the count of starts cannot be used; counting from 0", "id", s.id(), "error", err)
	}
	return max(0, n.Starts), nil
}

func (s *starts) save(ctx context.Context, n int) error {
	data, err := json.Marshal(startCount{n})
	if err != nil {
		return err
	}
	return s.c.adapter.SaveState(ctx, s.id(), &Snapshot{Epoch: s.epoch, Codec: codecJSON, Data: data})
}

// settle writes what becomes of the count: 0 after a good end, and what it was
// when the state was not restored.
func (s *starts) settle(ctx context.Context, good bool) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.yield()
	if !s.noted || s.ended {
		return nil
	}
	n := s.before
	if good {
		n = 0
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.opts.SaveTimeout)
	defer cancel()
	err := s.save(ctx, n)
	s.ended = err == nil || errors.Is(err, ErrFenced) // then it is the successor who counts
	if s.ended {
		return nil
	}
	return err
}

// proveHealthy settles the count once the process has worked for long enough.
func (s *starts) proveHealthy(ctx context.Context) {
	wait := newBackoff(maxStoreBackoff)
	for ok := sleep(ctx, healthyIntervals*s.c.opts.Interval); ok && s.settle(ctx, true) != nil; {
		ok = wait.sleep(ctx)
	}
}

// end settles the count beside the final saves. If the store cannot be reached
// this start will be taken for one that ended badly.
func (s *starts) end(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	if s.off() || !s.c.spawn(func() {
		defer close(done)
		good, wait := s.c.unrestored() == nil, newBackoff(time.Second)
		for try := 1; s.settle(ctx, good) != nil && try < finalRounds && wait.sleep(ctx); try++ {
		}
	}) {
		close(done)
	}
	return done
}
