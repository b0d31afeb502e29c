package durable

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/durablestate/durable/internal/engine"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/foreign"
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
	Spill           StateAdapter                // receives final snapshots when the adapter cannot be reached at Close; default none; the caller closes it
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

// engine returns o with every default filled in, as the engine sees it, and what is
// wrong with it.
func (o Options) engine() (engine.Options, error) {
	e := engine.Options{
		System: o.System, Replica: o.Replica, Holder: o.Holder,
		Interval: cmp.Or(o.Interval, defaultInterval), Restore: store.Policy(cmp.Or(o.Restore, FreshIfAbsent)),
		SaveTimeout: cmp.Or(o.SaveTimeout, defaultSaveTimeout), CloseTimeout: cmp.Or(o.CloseTimeout, defaultCloseTimeout),
		LeaseTTL: cmp.Or(o.LeaseTTL, defaultLeaseTTL), Logger: foreign.Logger(cmp.Or(o.Logger, slog.Default())),
		Consistent: o.Consistent, PauseLimit: cmp.Or(o.PauseLimit, defaultPauseLimit), MaxCrashRestarts: o.MaxCrashRestarts,
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
		e.Spill = statesOf(o.Spill)
	}
	if o.OnEvent != nil {
		e.OnEvent = func(v report.Event) { o.OnEvent(Event(v)) }
	}
	return e, o.check()
}

func (o *Options) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, part := range []struct{ name, value string }{{"System", o.System}, {"Replica", o.Replica}} {
		if part.value != "" && envelope.CheckPart(part.value) != nil {
			bad(`Options.%s %q must be a valid id without "/" and without a leading "~"`, part.name, part.value)
		}
	}
	if o.Replica != "" && o.System == "" {
		bad("Options.Replica needs Options.System")
	}
	for _, n := range []struct {
		name     string
		negative bool
	}{
		{"Interval", o.Interval < 0}, {"SaveTimeout", o.SaveTimeout < 0}, {"CloseTimeout", o.CloseTimeout < 0}, {"MaxCrashRestarts", o.MaxCrashRestarts < 0},
	} {
		if n.negative {
			bad("Options.%s must not be negative", n.name)
		}
	}
	if !known(o.Restore) {
		bad("Options.Restore %q is unknown", o.Restore)
	}
	for id, c := range o.Components {
		if c.Interval < 0 || !known(c.Restore) {
			bad("Options.Components[%q]: negative interval or unknown restore policy %q", id, c.Restore)
		}
		if c.Interval > 0 && o.Consistent {
			bad("Options.Components[%q].Interval cannot go with Options.Consistent, which saves all components at once", id)
		}
	}
	return errors.Join(errs...)
}

// known reports that p is a policy, or not set.
func known(p RestorePolicy) bool { return p == "" || store.Policy(p).Valid() }
