package durable

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/durablestate/durable/internal/engine/report"
)

// Report tells what Restore found, component by component in the order of
// registration.
type Report struct {
	Results []RestoreResult

	// CleanShutdown reports that the predecessor ended with a Close that saved every
	// component's last change. It is false when there was none, when it crashed, and
	// when its Close left something unsaved or to the spill.
	CleanShutdown bool
	Predecessor   string // holder of the lease before this process; empty if unknown or none

	// Unregistered names components that the set of Options.Consistent has and
	// the program has not. Their state is kept in the set as it is, until they
	// are registered again or the command deletes them from it.
	Unregistered []string

	// CrashRestarts counts the starts in a row before this one that ended
	// neither with Close nor after three intervals of work. It is 0 without
	// Options.MaxCrashRestarts.
	CrashRestarts int

	places *places // of Results; nil: a program has made the report
}

func newReport(r report.Report) Report {
	results := convert(r.Results, func(res report.Result) RestoreResult {
		return RestoreResult{
			ComponentID: res.ComponentID, Outcome: Outcome(res.Outcome), Epoch: res.Epoch, Version: res.Version,
			SavedAt: res.SavedAt, Age: res.Age, Schema: res.Schema, Skipped: res.Skipped, Unknown: res.Unknown, Err: res.Err,
		}
	})
	return Report{Results: results, CleanShutdown: r.CleanShutdown, Predecessor: r.Predecessor, Unregistered: r.Unregistered, CrashRestarts: r.CrashRestarts, places: &places{}}
}

// Component returns the result of one component. What it costs to find one that there
// is does not depend on how many there are.
func (r Report) Component(id string) (RestoreResult, bool) {
	if i, ok := r.places.find(r.Results, id); ok {
		return r.Results[i], true
	}
	return RestoreResult{}, false
}

// places are those of results, by the ids of their components.
type places struct {
	once sync.Once
	of   map[string]int
}

// find returns the place of id in results, which may have been changed since.
func (p *places) find(results []RestoreResult, id string) (int, bool) {
	if p != nil {
		p.once.Do(func() {
			p.of = make(map[string]int, len(results))
			for i := range results {
				p.of[results[i].ComponentID] = i
			}
		})
		if i, ok := p.of[id]; ok && i < len(results) && results[i].ComponentID == id {
			return i, true
		}
	}
	i := slices.IndexFunc(results, func(r RestoreResult) bool { return r.ComponentID == id })
	return i, i >= 0
}

// RestoreResult is the outcome for one component. Where a restore failed before it came
// to the components it lists each of them as Unreachable.
type RestoreResult struct {
	ComponentID    string
	Outcome        Outcome
	Epoch, Version uint64        // of the snapshot used; Version 0: left by a plain writer, unverified
	SavedAt        time.Time     // writer's clock
	Age            time.Duration // now less SavedAt, not negative
	Schema         int           // as stored, before migration
	Skipped        []uint64      // newer versions that did not verify
	Err            error         // why the component may not run; nil exactly when it may, whatever the Outcome

	// Unknown names fields of the stored state that T does not have, by their
	// paths in JSON and in order, 20 at most: a newer program stored them, and
	// the next save is without them. A last "…" stands for more. What may be the
	// key of a map is never named. Empty for states that encode themselves.
	Unknown []string
}

// Event is what OnEvent receives. It never carries state.
type Event struct {
	// Op is "save", "skip" (unchanged, kept alive), "restore", "fence", "lease" or
	// "spill"; or "vanished": the stored copy was gone and is written again; or
	// "rollback": the store had lost acknowledged saves, as Err says, by a failover
	// or a restart without its data. The next save heals it.
	Op          string
	ComponentID string // empty for the lease, "~set" for the set of Options.Consistent
	Version     uint64
	Bytes       int
	Duration    time.Duration
	Pause       time.Duration // with Options.Consistent: how long units of work were held up for this save; 0 if not at all
	Err         error         // nil: it succeeded
}

// ComponentStatus is what a Checkpointer knows of one component.
type ComponentStatus struct {
	ComponentID string
	Version     uint64        // last known to be stored
	SavedAt     time.Time     // of that version
	Age         time.Duration // since the stored copy was last known to be current; 0 if never
	Changed     bool          // there is a change that is not stored
	Bytes       int           // of the last save
	Saves       uint64        // successful saves
	Skips       uint64        // successful checks that nothing had changed
	Failures    uint64
	Pause       time.Duration // with Options.Consistent: of "~set", how long the last checkpoint held units of work up; of a component, its own share
	Err         error         // of the last attempt, nil if it succeeded
	Spilled     bool          // in a CloseError: its state is in Options.Spill, and the next Restore takes it from there
}

// CloseError is what errors.As finds in Close's error when the last change of
// some components is not durable in the adapter.
type CloseError struct {
	Unsaved []ComponentStatus
}

func statuses(list []report.Status) []ComponentStatus {
	return convert(list, func(s report.Status) ComponentStatus { return ComponentStatus(s) })
}

func (e *CloseError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "durable: close: %d component(s) not saved:", len(e.Unsaved))
	for i, s := range e.Unsaved {
		if i == 10 {
			fmt.Fprintf(&b, " and %d more", len(e.Unsaved)-i)
			break
		}
		fmt.Fprintf(&b, " %q (%s", s.ComponentID, lastGood(s))
		if s.Err != nil {
			fmt.Fprintf(&b, "; %s", strings.TrimPrefix(s.Err.Error(), "durable: "))
		}
		if s.Spilled {
			b.WriteString("; spilled, the next Restore takes it from there")
		}
		b.WriteString(")")
	}
	return b.String()
}

// Format writes the text of Error; see Error.Format.
func (e *CloseError) Format(f fmt.State, verb rune) { formatError(f, verb, e.Error()) }

func (e *CloseError) Unwrap() []error {
	var errs []error
	for _, s := range e.Unsaved {
		if s.Err != nil {
			errs = append(errs, s.Err)
		}
	}
	return errs
}

func lastGood(s ComponentStatus) string {
	if s.Version == 0 {
		return "never saved"
	}
	return fmt.Sprintf("last good checkpoint is version %d, %s old", s.Version, s.Age.Round(time.Millisecond))
}
