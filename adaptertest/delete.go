package adaptertest

import "github.com/durablestate/durable"

var deleteRules = []rule{
	{"deleted state is ErrNotFound",
		"remove all generations; a deleted component is absent, not lost and not expired",
		func(e *env) {
			e.saves(snap(5, 1, "one"))
			e.saves(snap(5, 2, "two"))
			e.deletes()
			e.missing(durable.ErrNotFound, 6, 2)
		}},
	{"deleting nothing works and raises the fence",
		"DeleteState of an unknown component succeeds and leaves a fence with epoch 1",
		func(e *env) {
			e.deletes()
			e.missing(durable.ErrNotFound, 1, 0)
			e.saves(snap(0, 0, "one"))
			e.isAt(1, 1)
		}},
	{"every delete raises the epoch of the fence by one",
		"raise the fence's epoch by exactly one, by compare-and-set on the fence as it was when the call began",
		func(e *env) {
			e.saves(snap(5, 1, "one"))
			for epoch := uint64(6); epoch <= 8; epoch++ {
				e.deletes()
				e.missing(durable.ErrNotFound, epoch, 1)
			}
		}},
	{"a delete refuses the running owner",
		"keep the fence when deleting and raise its epoch: the owner still holds the old state and must not bring it back",
		func(e *env) {
			e.saves(snap(5, 1, "one"))
			e.deletes()
			e.refuses(snap(5, 2, "two"), durable.ErrFenced, 6, 1)
			e.missing(durable.ErrNotFound, 6, 1)
		}},
	{"versions continue above the deleted life",
		"keep the fence's version when deleting: if versions began again, a writer of the old life would pass for one of the new",
		func(e *env) {
			e.saves(snap(5, 3, "old life"))
			e.deletes()
			e.refuses(snap(6, 1, "new life"), durable.ErrConflict, 6, 3)
			e.refuses(snap(6, 3, "new life"), durable.ErrConflict, 6, 3)
			e.holds(e.saves(snap(6, 4, "new life")))
			e.refuses(snap(5, 5, "old life"), durable.ErrFenced, 6, 4)
			e.refuses(snap(6, 4, "same number"), durable.ErrConflict, 6, 4)
		}},
	{"a save that leaves epoch and version open follows a delete",
		"fill both in from the fence that the delete left",
		func(e *env) {
			e.saves(snap(5, 3, "old life"))
			e.deletes()
			e.saves(snap(0, 0, "new life"))
			e.isAt(6, 4)
		}},
	{"a delete leaves other components alone",
		"delete by the exact id: no prefix, no pattern",
		func(e *env) {
			names := []string{"_backup", ":g:1", "*", "/a", ".", "2"}
			for _, n := range names {
				o := e.of(e.other(n))
				o.saves(snap(1, 1, n))
			}
			e.saves(snap(1, 1, "this"))
			e.deletes()
			for _, n := range names {
				o := e.of(e.other(n))
				o.holds(snap(1, 1, n))
			}
		}},
	{"expired state can be deleted",
		"a delete turns expired into absent",
		func(e *env) {
			e.saves(snap(5, 1, "one"))
			e.expire()
			e.deletes()
			e.missing(durable.ErrNotFound, 6, 1)
		}},
	{"lost state can be deleted",
		"a delete turns lost into absent",
		func(e *env) {
			e.saves(snap(5, 1, "one"))
			e.wipe()
			e.deletes()
			e.missing(durable.ErrNotFound, 6, 1)
		}},
	{"corrupt state can be deleted",
		"a delete turns corrupt into absent",
		func(e *env) {
			e.saves(snap(5, 1, "one"))
			e.corrupt()
			e.deletes()
			e.missing(durable.ErrNotFound, 6, 1)
		}},
}
