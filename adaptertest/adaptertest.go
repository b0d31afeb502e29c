// Package adaptertest checks implementations of [durable.StateAdapter]. It is
// the definition of what an adapter must do: one suite for the adapters of
// package durable, for wrappers and for third-party adapters.
//
//	func TestAdapter(t *testing.T) {
//		adaptertest.Run(t, adaptertest.Store{
//			Open: func(t *testing.T) durable.StateAdapter { return mystore.New(t.TempDir()) },
//		})
//	}
//
// Every subtest is named after a rule. A failure says which rule was broken,
// what was found and what to do about it. [durable.Owner] is checked when the
// adapter or what it wraps has it, [durable.Historian] when the adapter itself
// has it. [durable.EncodeSnapshot] spares an adapter the checks of ids, write ids
// and checksums; the example is a whole adapter made with it.
//
// With Store.Reopen two adapters of one store are raced as two processes would
// race: saves of one version, saves that leave it open, a repeat and a save, a claim
// and a save that is in flight, two claims, a delete and a save or a claim, a load and a
// save or a delete, two acquisitions of one lease, free or expired, a renewal or a
// release and a takeover. Each meets in many rounds, with
// small shifts, for a third of a second. That finds an adapter whose compare-and-set
// is a lock of its own process, and proves of none that it has no such fault.
//
// What cannot be seen through the interface is not checked: that a late copy of
// a DeleteState does nothing, how long a TTL lasts after a refresh, what survives
// a power cut.
package adaptertest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/durablestate/durable"
)

// Store tells the suite how to open an adapter and how to do to its store what
// happens in production. Only Open is required; rules that need a hook that is
// nil are skipped, and the test output says so.
type Store struct {
	// Open returns an adapter that is ready. The store behind it may be new
	// or one that other tests use too: the suite uses ids of its own. The
	// suite closes the adapter.
	Open func(t *testing.T) durable.StateAdapter

	// Reopen returns a second adapter on the store of a, as another process
	// would open it: it must share nothing with a but the store, no lock, cache or
	// connection. The two are raced against each other, so leave it nil only where
	// no second process can ever open the store. The suite closes it too, before or
	// after a.
	Reopen func(t *testing.T, a durable.StateAdapter) durable.StateAdapter

	// Expire ends the TTL of the component's state now.
	Expire func(t *testing.T, a durable.StateAdapter, componentID string)

	// Wipe removes every stored generation of the component behind the
	// adapter's back, as an eviction would. The fence stays.
	Wipe func(t *testing.T, a durable.StateAdapter, componentID string)

	// Corrupt damages the stored bytes of the component's newest generation.
	Corrupt func(t *testing.T, a durable.StateAdapter, componentID string)
}

// Run checks the adapters that s opens. It must not be called concurrently on
// one and the same store.
func Run(t *testing.T, s Store) {
	t.Helper()
	groups := []struct {
		name  string
		rules []rule
	}{
		{"save", slices.Concat(saveRules, fenceRules, fillRules, repeatRules)},
		{"load", slices.Concat(loadRules, corruptRules)},
		{"delete", deleteRules},
		{"ids", idRules},
		{"owner", slices.Concat(leaseRules, claimRules)},
		{"historian", historianRules},
		{"concurrency", concurrencyRules},
		{"context", contextRules},
		{"close", closeRules},
		{"reopen", reopenRules},
		{"processes", slices.Concat(processRules, meetingRules)},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, r := range g.rules {
				t.Run(r.name, func(t *testing.T) { r.run(t, s) })
			}
		})
	}
}

// A rule is one sentence of the contract and how it is checked.
type rule struct {
	name  string // the sentence
	todo  string // what an adapter does to keep it
	check func(e *env)
}

// patience bounds what must end by itself. It is long because a slow machine
// breaks no rule.
const patience = 30 * time.Second

func (r rule) run(t *testing.T, s Store) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e := &env{T: t, rule: r, store: s, ctx: ctx, a: s.Open(t), id: "adaptertest-" + rand.Text()}
	defer e.close()
	r.check(e)
}

// An env is what one check works with: an open adapter and a component id that
// nobody else uses.
type env struct {
	*testing.T
	rule  rule
	store Store
	ctx   context.Context
	a     durable.StateAdapter
	id    string
}

func (e *env) close() {
	e.Helper()
	if err := e.a.Close(); err != nil {
		e.Errorf("Close after %q: %v", e.rule.name, err)
	}
}

// broken ends the check: the rule does not hold.
func (e *env) broken(format string, args ...any) {
	e.Helper()
	e.Fatalf("broken rule: %s\n      found: %s\n      to do: %s", e.rule.name, fmt.Sprintf(format, args...), e.rule.todo)
}

// other returns an id that differs from e.id by its end only.
func (e *env) other(suffix string) string { return e.id + suffix }

// on returns e for another adapter.
func (e *env) on(a durable.StateAdapter) *env {
	n := *e
	n.a = a
	return &n
}

// of returns e for another component.
func (e *env) of(id string) *env {
	n := *e
	n.id = id
	return &n
}

func (e *env) reopen() *env {
	e.Helper()
	if e.store.Reopen == nil {
		e.Skip("SKIPPED: this rule needs the hook Store.Reopen, which is nil")
	}
	n := e.on(e.store.Reopen(e.T, e.a))
	e.Cleanup(n.close)
	return n
}

func (e *env) expire() { e.Helper(); e.hook("Expire", e.store.Expire) }
func (e *env) wipe()   { e.Helper(); e.hook("Wipe", e.store.Wipe) }
func (e *env) corrupt() {
	e.Helper()
	e.hook("Corrupt", e.store.Corrupt)
}

func (e *env) hook(name string, hook func(*testing.T, durable.StateAdapter, string)) {
	e.Helper()
	if hook == nil {
		e.Skipf("SKIPPED: this rule needs the hook Store.%s, which is nil", name)
	}
	hook(e.T, e.a, e.id)
}

// owner returns the adapter's Owner, its own or that of what it wraps.
func (e *env) owner() durable.Owner {
	e.Helper()
	o := findOwner(e.a)
	if o == nil {
		e.Skip("SKIPPED: the adapter implements no durable.Owner, nor does what its Unwrap method returns")
	}
	return o
}

func findOwner(a durable.StateAdapter) durable.Owner {
	for a != nil {
		if o, ok := a.(durable.Owner); ok {
			return o
		}
		w, ok := a.(interface{ Unwrap() durable.StateAdapter })
		if !ok {
			return nil
		}
		a = w.Unwrap()
	}
	return nil
}

func (e *env) historian() durable.Historian {
	e.Helper()
	h, ok := e.a.(durable.Historian)
	if !ok {
		e.Skip("SKIPPED: the adapter does not implement durable.Historian itself")
	}
	return h
}
