package durable

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/durablestate/durable/internal/engine"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/engine/spill"
	"github.com/durablestate/durable/internal/foreign"
	"github.com/durablestate/durable/internal/limits"
	"github.com/durablestate/durable/internal/store"
)

// Options configures a [Checkpointer]. Zero fields mean the defaults named here.
type Options struct {
	System, Replica string                      // namespace of the component ids and name of the lease, without "/"; default none; Replica needs System
	Holder          string                      // who holds the lease; default host, process and a random part. A stable pod name takes its own lease back at once
	Interval        time.Duration               // between checkpoints of a component; 60 s
	Restore         RestorePolicy               // FreshIfAbsent
	Components      map[string]ComponentOptions // exceptions by component id
	SaveTimeout     time.Duration               // one save; 10 s
	CloseTimeout    time.Duration               // all of Close; 20 s
	LeaseTTL        time.Duration               // 15 s, renewed at a third of it; negative: no ownership
	Logger          *slog.Logger                // default slog.Default()
	Consistent      bool                        // capture and restore all components as one set, see Checkpointer.Do
	PauseLimit      time.Duration               // with Consistent: a longer pause of the units of work is warned of; 25 ms; negative: never
	Spill           StateAdapter                // receives final snapshots when the adapter cannot be reached at Close; default none; never the store itself, and best with nothing else in it; the caller closes it
	OnEvent         func(Event)                 // every save, skip, failure, restore, fence, lease change: the hook for metrics; must not block

	// MaxCrashRestarts is how many starts in a row may end neither with Close nor
	// after three intervals of work before Restore refuses the next one until
	// somebody has acted: a state that restores and then brings the process down
	// would do so for ever. 5 is a good value, the default 0 counts nothing. The
	// count is kept under the reserved id "~starts".
	MaxCrashRestarts int
}

// ComponentOptions are exceptions for one component. Zero fields mean what
// Options says for all.
type ComponentOptions struct {
	Interval time.Duration // not with Consistent, which saves all at once
	Restore  RestorePolicy
}

// RestorePolicy says which outcomes of a restore are good enough to start.
// Whatever a policy does not name is an error of Restore, and that component
// cannot save.
type RestorePolicy string

const (
	// FreshIfAbsent starts fresh when nothing was ever saved, and with a
	// warning when the state expired.
	FreshIfAbsent RestorePolicy = "fresh-if-absent"
	// RestoreRequired accepts only Restored and FellBack. Use it after the
	// first start: it notices a store that lost everything.
	RestoreRequired RestorePolicy = "required"
	// FreshIfUnreadable starts fresh also when the state was lost, is
	// corrupt, too new or rejected. The old bytes, whatever they are, are set
	// aside first under the reserved id "~aside/...", where no TTL and no
	// retention reaches them; if that fails the component does not start.
	FreshIfUnreadable RestorePolicy = "fresh-if-unreadable"
)

// Outcome says how the restore of one component ended. The zero value means
// unknown.
type Outcome string

const (
	FirstBoot   Outcome = "first-boot"  // nothing was ever saved
	Restored    Outcome = "restored"    // the newest state is back
	FellBack    Outcome = "fell-back"   // an older generation is back; newer ones did not verify
	Expired     Outcome = "expired"     // ErrExpired
	Lost        Outcome = "lost"        // ErrLost
	Corrupt     Outcome = "corrupt"     // ErrCorrupt
	TooNew      Outcome = "too-new"     // ErrTooNew, of the envelope or of the state's schema
	Rejected    Outcome = "rejected"    // read, but RestoreState or a migration refused it
	Unreachable Outcome = "unreachable" // it could not be read, or not be claimed
)

const (
	defaultInterval     = 60 * time.Second
	defaultSaveTimeout  = 10 * time.Second
	defaultCloseTimeout = 20 * time.Second
	defaultLeaseTTL     = 15 * time.Second
	defaultPauseLimit   = 25 * time.Millisecond
)

// given returns the options that opts points to; nil stands for none.
func given[O any](opts *O) (o O) {
	if opts != nil {
		o = *opts
	}
	return o
}

// engine returns o with every default filled in, as the engine sees it.
func (o Options) engine(calls *foreign.Helpers) engine.Options {
	e := engine.Options{
		System: o.System, Replica: o.Replica, Holder: o.Holder,
		Interval: cmp.Or(o.Interval, defaultInterval), Restore: store.Policy(cmp.Or(o.Restore, FreshIfAbsent)),
		SaveTimeout: cmp.Or(o.SaveTimeout, defaultSaveTimeout), CloseTimeout: cmp.Or(o.CloseTimeout, defaultCloseTimeout),
		LeaseTTL: cmp.Or(o.LeaseTTL, defaultLeaseTTL), Logger: foreign.Logger(cmp.Or(o.Logger, slog.Default())),
		Consistent: o.Consistent, PauseLimit: cmp.Or(o.PauseLimit, defaultPauseLimit), MaxCrashRestarts: o.MaxCrashRestarts, Calls: calls,
		Components: make(map[string]engine.ComponentOptions, len(o.Components)),
	}
	if e.Holder == "" {
		host, _ := os.Hostname()
		e.Holder = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:8])
	}
	for id, c := range o.Components {
		e.Components[id] = engine.ComponentOptions{Interval: c.Interval, Restore: store.Policy(c.Restore)}
	}
	if o.Spill != nil {
		e.Spill = &spill.Adapter{States: statesOf(o.Spill, calls)}
		if ours := ownOf(o.Spill); ours.Unusable() == nil {
			e.Spill.Bytes = ours.Adapter
		}
		if h, ok := o.Spill.(Historian); ok {
			e.Spill.List = history{h, calling(h, calls)}.List
		}
	}
	if o.OnEvent != nil {
		e.OnEvent = func(v report.Event) { o.OnEvent(Event(v)) }
	}
	return e
}

// check gathers what is wrong with o by itself.
func (o *Options) check() *limits.Check {
	c := &limits.Check{Name: optionName}
	c.Text("system", o.System)
	c.Text("replica", o.Replica)
	c.Text("holder", o.Holder)
	c.Number("snapshot_interval", int64(o.Interval))
	c.Number("save_timeout", int64(o.SaveTimeout))
	c.Number("shutdown_timeout", int64(o.CloseTimeout))
	c.Number("lease_ttl", int64(o.LeaseTTL))
	c.Number("pause_limit", int64(o.PauseLimit))
	c.Number("max_crash_restarts", int64(o.MaxCrashRestarts))
	c.Text("restore", string(o.Restore))
	for _, id := range slices.Sorted(maps.Keys(o.Components)) {
		name, own := fmt.Sprintf("Options.Components[%q]", id), o.Components[id]
		if id == "" {
			c.Refuse(name, "must have an id")
		}
		c.TextAs(name, "system", id)
		c.NumberAs(name+".Interval", "snapshot_interval", int64(own.Interval))
		c.TextAs(name+".Restore", "restore", string(own.Restore))
	}
	if isNil(o.Spill) && o.Spill != nil {
		c.Refuse("Options.Spill", "is a nil %T; leave the field out", o.Spill)
	}
	c.Together(o.together(0)) // Start asks for the TTL
	return c
}

// together returns what has to go with each other.
func (o *Options) together(ttl time.Duration) limits.Together {
	t := limits.Together{
		System: o.System, Replica: o.Replica, TTL: ttl, Interval: cmp.Or(o.Interval, defaultInterval), Consistent: o.Consistent,
		Intervals: make(map[string]time.Duration, len(o.Components)),
	}
	for id, own := range o.Components {
		t.Intervals[id] = own.Interval
	}
	return t
}

// optionName names a setting as a field of Options.
func optionName(l *limits.Limit) string {
	if l.Key == "ttl" {
		return "the adapter's TTL"
	}
	return "Options." + l.Field
}

// shortTTL is not nil if states could expire between two checkpoints.
func (o *Options) shortTTL(ttl time.Duration) error {
	if text := o.together(ttl).ShortTTL(limits.RefuseTTLBelow, optionNameOf); text != "" {
		return errors.New("the adapter's TTL " + text)
	}
	return nil
}

// warnOfTTL warns of a TTL that an outage soon outlasts.
func (o *Options) warnOfTTL(ttl time.Duration) {
	if text := o.together(ttl).ShortTTL(limits.WarnTTLBelow, optionNameOf); text != "" {
		cmp.Or(o.Logger, slog.Default()).Warn("durable: ttl is short: an outage longer than it makes the state expire", "detail", "the TTL "+text)
	}
}

// warnOfSpillTTL warns of a spill that forgets what was spilled.
func (o *Options) warnOfSpillTTL() {
	if ttl := ownOf(o.Spill).lifetime(); o.Spill != nil && ttl > 0 {
		cmp.Or(o.Logger, slog.Default()).Warn("durable: Options.Spill has a TTL: what is spilled expires unless the next start comes before", "ttl", ttl)
	}
}

func optionNameOf(key string) string { return optionName(limits.Of(key, "")) }
