package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/healthhttp"
)

// servers answer until they are closed.
type servers []*http.Server

// serve answers probes and questions on l, and on open, unless that is nil,
// probes and the status alone: what changes or shows state stays on the loopback
// address.
func serve(ctx context.Context, l, open net.Listener, p *pipeline, cp *durable.Checkpointer) servers {
	anybody := healthhttp.Handler(cp, func() error { return p.unready(ctx, cp) })
	mux := http.NewServeMux()
	mux.Handle("GET /", anybody)
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
		all = append(all, answerOn(open, anybody, p, "listening for probes"))
	}
	return append(all, answerOn(l, mux, p, "listening"))
}

func answerOn(l net.Listener, h http.Handler, p *pipeline, log string) *http.Server {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
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

// unready says why the process does not do its work although its state may be in
// order. It is asked in addition to the health of the Checkpointer.
func (p *pipeline) unready(ctx context.Context, cp *durable.Checkpointer) error {
	switch {
	case ctx.Err() != nil:
		return errors.New("shutting down")
	case cp.Health() == nil && !p.isRestored():
		return errors.New("restoring")
	}
	return nil
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
