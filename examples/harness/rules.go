package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/durablestate/durable"
)

// rules change rarely, and whoever changes them wants to know that they stay.
type rules struct {
	Version int64 // one for each change
	Blocked []string
}

// ruleEngine blocks users.
type ruleEngine struct {
	named
	durable.StatefulComponent[rules]
}

func (r *ruleEngine) Process(t *transaction) bool {
	r.View(func(s *rules) { t.Blocked = slices.Contains(s.Blocked, t.User) })
	return true
}

// Block adds a rule and returns the version of the rules that has it. Once it has
// returned no crash can undo it.
func (r *ruleEngine) Block(ctx context.Context, user string) (version int64, err error) {
	err = r.Commit(ctx, func(s *rules) {
		if !slices.Contains(s.Blocked, user) {
			s.Blocked = append(s.Blocked, user)
			s.Version++
		}
		version = s.Version
	})
	return version, err
}

// Audit implements stateful.
func (r *ruleEngine) Audit() (total int64, err error) {
	r.View(func(s *rules) {
		unique := len(slices.Compact(slices.Sorted(slices.Values(s.Blocked))))
		if total = s.Version; total != int64(unique) || unique != len(s.Blocked) {
			err = fmt.Errorf("version %d has %d rules, %d of them different", total, len(s.Blocked), unique)
		}
	})
	return total, err
}

// fraudAPI is where people and programs ask and tell.
type fraudAPI struct {
	named
	rules *ruleEngine
}

// ServeHTTP blocks the user that the form value "block" names. 200 means that
// the rule is durable; after 503 it holds for now and may be sent again.
func (a *fraudAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("block")
	if user == "" {
		http.Error(w, "say whom: POST /rules?block=user-0001", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	version, err := a.rules.Block(ctx, user)
	switch {
	case errors.Is(err, durable.ErrNotRestored), errors.Is(err, durable.ErrFenced), errors.Is(err, durable.ErrClosed):
		http.Error(w, "this process does not own the rules", http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, "the rule is not durable yet: "+err.Error(), http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, version)
	}
}
