package adaptertest

import (
	"errors"
	"fmt"

	"github.com/durablestate/durable"
)

var corruptRules = []rule{
	{"a corrupt newest generation falls back to the next that verifies",
		"try the generations from the newest to the oldest; LastVersion is the fence's version, also after a fallback",
		func(e *env) {
			e.keepsGenerations()
			e.saves(snap(5, 1, "one"))
			s := e.saves(snap(5, 2, "two"))
			e.saves(snap(5, 3, "three"))
			e.corrupt()
			e.fellBack(s, 3)
			e.fellBack(s, 3)
		}},
	{"after a fallback the fence is that of the newest save",
		"a damaged generation was accepted all the same: its version is never given out again",
		func(e *env) {
			e.keepsGenerations()
			e.saves(snap(5, 1, "one"))
			e.saves(snap(5, 2, "two"))
			e.corrupt()
			e.refuses(snap(5, 2, "again"), durable.ErrConflict, 5, 2)
			e.refuses(snap(4, 3, "late"), durable.ErrFenced, 5, 2)
			e.saves(snap(5, 0, "next"))
			e.isAt(5, 3)
		}},
	{"state of which nothing verifies is ErrCorrupt, and stays it",
		"a checksum that differs is ErrCorrupt, not absent and not empty; keep the bad bytes so that the answer lasts",
		func(e *env) {
			e.saves(snap(5, 1, "one"))
			e.corrupt()
			for range 3 {
				e.missing(durable.ErrCorrupt, 5, 1)
			}
		}},
	{"a corrupt component can be saved again with a version above",
		"let a version above the fence in; it becomes the newest generation",
		func(e *env) {
			e.saves(snap(5, 1, "one"))
			e.corrupt()
			e.refuses(snap(5, 1, "again"), durable.ErrConflict, 5, 1)
			e.holds(e.saves(snap(5, 2, "two")))
			e.saves(snap(5, 0, "three"))
			e.isAt(5, 3)
		}},
	{"a generation that does not verify does not count towards retention",
		"verify generations before pruning: the last good one must outlive any number of bad ones",
		func(e *env) {
			e.keepsGenerations()
			good := e.saves(snap(5, 1, "good"))
			for v := uint64(2); v <= 6; v++ {
				e.saves(snap(5, v, "bad"))
				e.corrupt()
			}
			e.fellBack(good, 6)
		}},
	{"damage to one component leaves others alone",
		"verify and fall back per component",
		func(e *env) {
			o := e.of(e.other("-other"))
			s := o.saves(snap(1, 1, "other"))
			e.saves(snap(1, 1, "this"))
			e.corrupt()
			e.missing(durable.ErrCorrupt, 1, 1)
			o.holds(s)
		}},
	{"a deleted life does not come back through a fallback",
		"DeleteState removes all generations, not only the newest",
		func(e *env) {
			for v := uint64(1); v <= 3; v++ {
				e.saves(snap(5, v, "old life"))
			}
			e.deletes()
			e.saves(snap(6, 4, "new life"))
			e.corrupt()
			e.missing(durable.ErrCorrupt, 6, 4)
		}},
}

// keepsGenerations skips the check if the adapter keeps but one generation,
// which only an adapter without Historian may do.
func (e *env) keepsGenerations() {
	e.Helper()
	if _, ok := e.a.(durable.Historian); ok {
		return
	}
	p := e.of(fmt.Sprintf("%s-generations", e.id))
	p.saves(snap(1, 1, "one"))
	p.saves(snap(1, 2, "two"))
	p.corrupt()
	if _, err := p.a.LoadState(p.ctx, p.id); errors.Is(err, durable.ErrCorrupt) {
		e.Skip("SKIPPED: the adapter keeps one generation only, so damage to it costs the whole state")
	}
}
