package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/durablestate/durable"
)

// servers answer until they are closed.
type servers []*http.Server

// serve answers probes and questions on l, and on open, unless that is nil,
// probes alone: what changes or shows state stays on the loopback address.
func serve(ctx context.Context, l, open net.Listener, p *pipeline, cp *durable.Checkpointer) servers {
	mux := probes(ctx, p, cp)
	mux.HandleFunc("GET /invariants", func(w http.ResponseWriter, _ *http.Request) { invariants(w, p, cp) })
	mux.HandleFunc("POST /rules", func(w http.ResponseWriter, r *http.Request) {
		if !p.isRestored() {
			http.Error(w, "restoring", http.StatusServiceUnavailable)
			return
		}
		p.api.ServeHTTP(w, r)
	})
	var all servers
	if open != nil {
		all = append(all, answerOn(open, probes(ctx, p, cp), p, "listening for probes"))
	}
	return append(all, answerOn(l, mux, p, "listening"))
}

// probes returns the routes that anybody may ask.
func probes(ctx context.Context, p *pipeline, cp *durable.Checkpointer) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { readyz(ctx, w, p, cp) })
	return mux
}

func answerOn(l net.Listener, mux *http.ServeMux, p *pipeline, log string) *http.Server {
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			p.log.Error("the server ended", "error", err)
		}
	}()
	p.log.Info(log, "address", l.Addr().String())
	return server
}

func (s servers) close() {
	for _, server := range s {
		_ = server.Close()
	}
}

// healthz says that the process lives. An outage of the store is no reason to
// kill a process that holds the newest state, so it is not asked.
func healthz(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") }

// readyz says that the process does its work, or waits to take over: in a rolling
// update the old process ends only when the new one is ready.
func readyz(ctx context.Context, w http.ResponseWriter, p *pipeline, cp *durable.Checkpointer) {
	switch err := cp.Health(); {
	case ctx.Err() != nil:
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
	case errors.Is(err, durable.ErrLeaseHeld):
		fmt.Fprintln(w, "standby")
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case !p.isRestored():
		http.Error(w, "restoring", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ready")
	}
}

func (p *pipeline) isRestored() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.report != nil
}

// answer is what /invariants says.
type answer struct {
	CleanShutdown bool
	Predecessor   string
	Components    map[string]componentAnswer
	Violations    string `json:",omitempty"`
}

type componentAnswer struct {
	Outcome  durable.Outcome
	Restored uint64 // version
	Version  uint64 // stored now
	First    int64  // total when it was restored
	Total    int64  // now
}

// invariants audits the components while they work. 500: something is wrong.
func invariants(w http.ResponseWriter, p *pipeline, cp *durable.Checkpointer) {
	if !p.isRestored() {
		http.Error(w, "restoring", http.StatusServiceUnavailable)
		return
	}
	a := answer{CleanShutdown: p.report.CleanShutdown, Predecessor: p.report.Predecessor, Components: map[string]componentAnswer{}}
	totals, err := p.audit()
	for _, s := range cp.Status() {
		id := s.ComponentID
		r, ok := p.report.Component(id)
		if !ok {
			continue // "~set", which is all of them
		}
		a.Components[id] = componentAnswer{r.Outcome, r.Version, s.Version, p.first[id], totals[id]}
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		a.Violations = err.Error()
		w.WriteHeader(http.StatusInternalServerError)
	}
	_ = json.NewEncoder(w).Encode(a)
}
