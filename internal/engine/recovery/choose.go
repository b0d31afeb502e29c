package recovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/store"
)

// candidate is a state that a component may be restored from, or why there is none.
type candidate struct {
	snap   *store.Snapshot // nil: found.Err
	found  store.Found
	place  *saver.Saver    // whose generations it is one of
	stored error           // what the store itself answered: found.Err may be of the spill
	shown  *store.Snapshot // what the adapter gave and is not used
	unread *store.Snapshot // bytes that are not used, as they were read
}

// choose decides where a component is restored from.
func (r *Recovery) choose(t Target, own loaded) chosen {
	mine := candidate{snap: own.snap, found: own.found, place: own.saver, stored: own.stored, shown: own.shown}
	r.lift(t, mine.found)
	best, other := newest(mine, r.whole.part(t.Component.ID(), r.System.Words))
	return chosen{Target: t, r: r, candidate: best, other: other, setUp: own.setUp}
}

// lift makes saves in either place newer than what was accepted in the other.
func (r *Recovery) lift(t Target, own store.Found) {
	t.Saver.Raise(own.Fence.Epoch) // also when the state comes from the set
	if own.Existed() {
		r.Set.Saver.SaveAbove(own.Fence)
	}
	if r.whole.found.Existed() {
		t.Saver.SaveAbove(r.whole.found.Fence)
	}
}

// newest returns the candidate that store.Choose wants, then the other, and nothing
// else happens. It is a fallback where the other place had something newer that does
// not verify.
func newest(own, set candidate) (best, other candidate) {
	choice := store.Choose(own.found, set.found)
	best, other = set, own
	if choice.Own {
		best, other = own, set
	}
	if choice.FellBackFrom != 0 {
		s := *best.snap
		s.LastVersion = choice.FellBackFrom
		best.snap, best.place = &s, other.place
	}
	return best, other
}

// chosen is what a component is restored from.
type chosen struct {
	Target
	candidate
	other candidate // of the place that was passed over
	r     *Recovery
	setUp uint64 // change count of the component before the load

	fresh   bool   // the state is not the stored one
	applied uint64 // else: change count up to which it is
}

// restore applies the state that was chosen and opens the component for saves.
func (x *chosen) restore(ctx context.Context) (report.Result, error) {
	res, cause := x.apply(ctx)
	x.fresh = res.Outcome != store.Restored && res.Outcome != store.FellBack
	err := x.admit(ctx, res, cause)
	res.Err = err // the outcome says the rest
	size := 0
	if x.snap != nil {
		size = len(x.snap.Data)
	}
	x.r.System.Emit("restore", res.ComponentID, res.Version, size, x.r.began, res.Err)
	x.log(res, cause)
	return res, err
}

// apply gives the state to the component and names the outcome, with its cause.
func (x *chosen) apply(ctx context.Context) (res report.Result, cause error) {
	res.ComponentID = x.Component.ID()
	if x.snap == nil {
		res.Outcome = store.OutcomeOf(x.found.Err)
		if res.Outcome != store.FirstBoot {
			res.Epoch, res.Version, cause = x.found.Fence.Epoch, x.found.Fence.Version, x.found.Err
		}
		return res, cause
	}
	res.Epoch, res.Version, res.SavedAt, res.Schema = x.snap.Epoch, x.snap.Version, x.snap.SavedAt, x.snap.Schema
	if !res.SavedAt.IsZero() {
		res.Age = max(0, time.Since(res.SavedAt))
	}
	res.Outcome = store.Restored
	if x.snap.LastVersion > x.snap.Version {
		res.Outcome, res.Skipped = store.FellBack, x.skipped(ctx)
	}
	var err error
	if x.applied, res.Unknown, err = x.Component.Apply(x.snap); err != nil {
		res.Outcome, cause = store.Rejected, x.Saver.Fail("restore", err)
		if errors.Is(err, store.ErrTooNew) {
			res.Outcome = store.TooNew
		}
	}
	return res, cause
}

// skipped names the versions above the one used that did not verify.
func (x *chosen) skipped(ctx context.Context) []uint64 {
	var versions []uint64
	if h := x.r.System.History; h != nil {
		infos, _ := h.History(ctx, x.place.Name()) // what cannot be listed is named below
		for _, i := range infos {
			if i.Err != nil && i.Version > x.snap.Version {
				versions = append(versions, i.Version)
			}
		}
	}
	if len(versions) == 0 {
		versions = []uint64{x.snap.LastVersion}
	}
	return versions
}

// admit opens the component for saves if its policy accepts the outcome.
func (x *chosen) admit(ctx context.Context, res report.Result, cause error) error {
	if policy := x.Component.Policy; !policy.Accepts(res.Outcome) {
		err := fmt.Errorf("%s, which policy %q does not accept: %w", res.Outcome, policy, cmp.Or(cause, x.found.Err))
		err = x.r.System.Words.Fault("restore", res.ComponentID, store.Answer(store.Fence{Epoch: res.Epoch, Version: res.Version}, err, ""))
		x.Saver.Shut(err)
		return err
	}
	if x.fresh {
		if err := x.beginFresh(ctx); err != nil {
			err = x.Saver.Fail("restore", err)
			x.Saver.Shut(err)
			return err
		}
	}
	if err := x.r.clear(ctx, x.Saver); err != nil {
		x.r.notCleared(x.Saver, err)
		if res.Outcome == store.TooNew { // the next start would begin afresh again
			err = x.Saver.Fail("restore", err)
			x.Saver.Shut(err)
			return err
		}
	}
	a := saver.Accepted{Fence: x.found.Fence}
	if x.snap != nil {
		a.Fence = x.snap.Fence()
	}
	if !x.fresh {
		a.Snapshot, a.Exists, a.Changes = x.snap, true, x.applied
	}
	x.Saver.Open(x.r.Epoch, a)
	return nil
}

func (x *chosen) log(res report.Result, cause error) {
	level, msg := slog.LevelInfo, "durable: restored"
	switch {
	case res.Err != nil:
		level, msg = slog.LevelError, "durable: not restored; the component cannot save"
	case res.Outcome == store.FirstBoot:
		msg = "durable: nothing stored, starting fresh"
	case res.Outcome == store.FellBack:
		level, msg = slog.LevelWarn, "durable: restored an older generation in place of newer ones"
	case res.Outcome != store.Restored:
		level, msg = slog.LevelWarn, "durable: stored state cannot be used, starting fresh"
	case res.Version == 0:
		msg = "durable: restored from a plain value, which cannot be verified"
	}
	log := x.r.System.Log
	if res.Err == nil && len(res.Unknown) > 0 {
		log.Warn("durable: the stored state has fields that this program does not have; they are gone with the next save", "component", res.ComponentID, "fields", res.Unknown)
	}
	if !log.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{slog.String("component", res.ComponentID), slog.String("outcome", string(res.Outcome)),
		slog.Uint64("version", res.Version), slog.Duration("age", res.Age.Round(time.Millisecond))}
	if len(res.Skipped) > 0 {
		attrs = append(attrs, slog.Any("skipped", res.Skipped))
	}
	if e := cmp.Or(res.Err, cause); e != nil {
		attrs = append(attrs, slog.Any("error", e))
	}
	log.LogAttrs(context.Background(), level, msg, attrs...)
}
