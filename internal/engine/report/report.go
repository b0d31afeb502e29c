// Package report has what a Checkpointer tells its program, in plain types: what
// was restored, what is known of each component, and what happens. Package durable
// has types with the same fields and says what they mean.
package report

import (
	"log/slog"
	"time"

	"github.com/durablestate/durable/internal/foreign"
	"github.com/durablestate/durable/internal/store"
)

// Report has the fields of durable.Report.
type Report struct {
	Results       []Result
	CleanShutdown bool
	Predecessor   string
	Unregistered  []string
	CrashRestarts int
}

// Result has the fields of durable.RestoreResult.
type Result struct {
	ComponentID    string
	Outcome        store.Outcome
	Epoch, Version uint64
	SavedAt        time.Time
	Age            time.Duration
	Schema         int
	Skipped        []uint64
	Unknown        []string
	Err            error
}

// Status has the fields of durable.ComponentStatus.
type Status struct {
	ComponentID string
	Version     uint64
	SavedAt     time.Time
	Age         time.Duration
	Changed     bool
	Bytes       int
	Saves       uint64
	Skips       uint64
	Failures    uint64
	Pause       time.Duration
	Err         error
	Spilled     bool
}

// Event has the fields of durable.Event.
type Event struct {
	Op          string
	ComponentID string
	Version     uint64
	Bytes       int
	Duration    time.Duration
	Pause       time.Duration
	Err         error
}

// Events passes on what happens. It is safe for concurrent use, and must not be copied.
type Events struct {
	On  func(Event) // nil: nobody listens
	Log *slog.Logger

	Told foreign.Listener
}

// Emit passes e on; nil Events to nobody. What a listener does wrong is logged, and harms nobody else.
func (v *Events) Emit(e Event) {
	if v == nil || v.On == nil {
		return
	}
	if err := v.Told.Tell("OnEvent", func() { v.On(e) }); err != nil && !foreign.Deaf(err) {
		v.Log.Error("durable: OnEvent failed", "op", e.Op, "error", err, "stack", foreign.Stack(err))
	}
}
