package engine

import (
	"log/slog"
	"strings"
	"time"

	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/engine/report"
	"github.com/durablestate/durable/internal/store"
)

// Options are those of durable.Options, checked, and with every default filled in.
type Options struct {
	System, Replica, Holder string
	Interval                time.Duration
	Restore                 store.Policy
	Components              map[string]ComponentOptions
	SaveTimeout             time.Duration
	CloseTimeout            time.Duration
	LeaseTTL                time.Duration // negative: no ownership
	Logger                  *slog.Logger
	Consistent              bool
	PauseLimit              time.Duration
	Spill                   backend.States // nil: none
	OnEvent                 func(report.Event)
	MaxCrashRestarts        int
}

// ComponentOptions has the fields of durable.ComponentOptions.
type ComponentOptions struct {
	Interval time.Duration
	Restore  store.Policy
}

// namespace returns what precedes a component id in the adapter.
func (o *Options) namespace() string {
	ns := ""
	for _, part := range []string{o.System, o.Replica} {
		if part != "" {
			ns += part + "/"
		}
	}
	return ns
}

// leaseName is that of the system.
func (o *Options) leaseName() string { return strings.TrimSuffix(o.namespace(), "/") }
