// Package healthhttp answers the probes of an orchestrator and shows an operator
// how the state of a program is doing.
//
//	probes := &http.Server{Addr: ":8081", Handler: healthhttp.Handler(cp)}
//
// Serve it from before Restore until after Close, on a port of its own: the
// answers carry no state and no secret, but they name components.
package healthhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/foreign"
)

// Handler returns a handler with three routes.
//
//   - GET /healthz is liveness: 200 as long as the process answers. It never
//     asks the store or the Checkpointer, because a restart during an outage would
//     lose the newest state and cure nothing.
//   - GET /readyz is readiness: 200 "ready" when [durable.Checkpointer.Health] is
//     nil, that is, when every component is restored, this process owns them and no
//     checkpoint is too old. 200 "standby" while Restore waits for the lease of
//     another process: a rolling update goes on only when the new process is ready.
//     Otherwise 503 and the reason.
//   - GET /status is a [Status] as JSON, always 200.
//
// The checks, if any, are asked first, and an error of one is a reason not to be
// ready: a program that is draining is not ready any more, though its state is in
// order. They must be quick and safe for concurrent use. None of the routes waits
// for the store or for a component. The handler is safe for concurrent use.
func Handler(cp *durable.Checkpointer, checks ...func() error) http.Handler {
	h := &handler{cp, checks}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", live)
	mux.HandleFunc("GET /readyz", h.ready)
	mux.HandleFunc("GET /status", h.status)
	return mux
}

// Status is what GET /status answers.
type Status struct {
	Ready      bool        `json:"ready"`
	State      string      `json:"state"`           // "ready", "standby" or "not ready"
	Error      string      `json:"error,omitempty"` // why it is not ready, or what a standby waits for
	Components []Component `json:"components"`      // in the order of registration
}

// Component is the part of a [Status] about one component. It says in JSON what
// [durable.ComponentStatus] says.
type Component struct {
	ID       string     `json:"id"`
	Version  uint64     `json:"version"`               // last known to be stored
	SavedAt  *time.Time `json:"saved_at,omitempty"`    // of that version; absent if unknown
	Age      *float64   `json:"age_seconds,omitempty"` // since the stored copy was last known to be current; absent if never
	Changed  bool       `json:"changed"`               // there is a change that is not stored
	Bytes    int        `json:"bytes"`                 // of the last save
	Saves    uint64     `json:"saves"`
	Skips    uint64     `json:"skips"` // checks that found nothing changed
	Failures uint64     `json:"failures"`
	Error    string     `json:"error,omitempty"` // of the last attempt
}

type handler struct {
	cp     *durable.Checkpointer
	checks []func() error
}

func live(w http.ResponseWriter, _ *http.Request) {
	begin(w, "text/plain; charset=utf-8", http.StatusOK)
	fmt.Fprintln(w, "alive")
}

func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	state, err := h.judge()
	if state == notReady {
		begin(w, "text/plain; charset=utf-8", http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	begin(w, "text/plain; charset=utf-8", http.StatusOK)
	fmt.Fprintln(w, state)
}

const (
	isReady  = "ready"
	standby  = "standby"
	notReady = "not ready"
)

func (h *handler) judge() (state string, err error) {
	for i, check := range h.checks {
		if check == nil {
			return notReady, fmt.Errorf("check %d of healthhttp.Handler is nil; leave it out", i+1)
		}
		if err := foreign.Call("a check", check); err != nil { // a check that panics is no reason to answer nothing
			return notReady, err
		}
	}
	switch err := h.cp.Health(); {
	case err == nil:
		return isReady, nil
	case errors.Is(err, durable.ErrLeaseHeld):
		return standby, err
	default:
		return notReady, err
	}
}

func (h *handler) status(w http.ResponseWriter, _ *http.Request) {
	state, err := h.judge()
	s := Status{Ready: state != notReady, State: state, Error: text(err), Components: []Component{}}
	for _, c := range h.cp.Status() {
		s.Components = append(s.Components, component(c))
	}
	begin(w, "application/json", http.StatusOK)
	_ = json.NewEncoder(w).Encode(s) // the client is gone
}

func component(s durable.ComponentStatus) Component {
	c := Component{
		ID: s.ComponentID, Version: s.Version, Changed: s.Changed, Bytes: s.Bytes,
		Saves: s.Saves, Skips: s.Skips, Failures: s.Failures, Error: text(s.Err),
	}
	if !s.SavedAt.IsZero() {
		c.SavedAt = &s.SavedAt
	}
	if s.Age > 0 {
		age := s.Age.Seconds()
		c.Age = &age
	}
	return c
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func begin(w http.ResponseWriter, contentType string, code int) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
}
