package adaptertest

import "github.com/durablestate/durable"

var claimRules = []rule{
	{"a claim raises the fence when nothing is stored",
		"ClaimState creates the fence of a component that was never saved; the component stays absent",
		func(e *env) {
			e.claims(e.owner(), 10)
			e.missing(durable.ErrNotFound, 10, 0)
			e.refuses(snap(9, 1, "predecessor"), durable.ErrFenced, 10, 0)
			e.holds(e.saves(snap(10, 1, "successor")))
		}},
	{"a claim is idempotent",
		"a claim with the epoch of the fence succeeds",
		func(e *env) {
			o := e.owner()
			for range 3 {
				e.claims(o, 10)
			}
			e.saves(snap(10, 1, "one"))
			e.claims(o, 10)
			e.isAt(10, 1)
		}},
	{"a claim below the fence is refused with ErrFenced",
		"ClaimState never lowers the fence, whether a claim or a save raised it",
		func(e *env) {
			o := e.owner()
			e.claims(o, 10)
			e.answersFence("ClaimState below a claim", o.ClaimState(e.ctx, e.id, 9), durable.ErrFenced, 10, 0)
			e.saves(snap(12, 1, "one"))
			e.answersFence("ClaimState below a save", o.ClaimState(e.ctx, e.id, 11), durable.ErrFenced, 12, 1)
			e.refuses(snap(11, 2, "late"), durable.ErrFenced, 12, 1)
		}},
	{"a claim closes the window in which a predecessor could still save",
		"after ClaimState returned, saves of lower epochs are refused, repeats included",
		func(e *env) {
			s := e.saves(snap(5, 1, "one"))
			e.claims(e.owner(), 6)
			e.refuses(snap(5, 2, "two"), durable.ErrFenced, 6, 1)
			e.refuses(s, durable.ErrFenced, 6, 1)
			e.refuses(refresh(s), durable.ErrFenced, 6, 1)
			e.fellBack(s, 1)
		}},
	{"a claim leaves state and versions alone",
		"ClaimState raises the fence's epoch and nothing else",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			e.claims(e.owner(), 6)
			e.holds(s)
			e.refuses(snap(6, 3, "again"), durable.ErrConflict, 6, 3)
			e.holds(e.saves(snap(6, 4, "four")))
		}},
	{"a claim with the epoch of the last save keeps its repeat",
		"a claim that raises nothing forgets nothing",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			e.claims(e.owner(), 5)
			e.saves(s)
			e.holds(s)
		}},
	{"a save that leaves the epoch open is saved under the claim",
		"fill a zero Epoch in with the fence's epoch, claims included",
		func(e *env) {
			e.claims(e.owner(), 10)
			e.saves(snap(0, 0, "one"))
			e.isAt(10, 1)
		}},
	{"a delete goes above the claim",
		"DeleteState raises the fence's epoch by one, from where the claim put it",
		func(e *env) {
			o := e.owner()
			e.saves(snap(5, 1, "one"))
			e.claims(o, 10)
			e.deletes()
			e.missing(durable.ErrNotFound, 11, 1)
			e.refuses(snap(10, 2, "owner"), durable.ErrFenced, 11, 1)
			e.answersFence("ClaimState", o.ClaimState(e.ctx, e.id, 10), durable.ErrFenced, 11, 1)
		}},
	{"a claim outlives expiry",
		"keep the fence without a TTL",
		func(e *env) {
			o := e.owner()
			s := e.saves(snap(5, 1, "one"))
			e.claims(o, 10)
			e.expire()
			e.missing(durable.ErrExpired, 10, 1)
			e.refuses(s, durable.ErrFenced, 10, 1)
			e.claims(o, 11)
			e.missing(durable.ErrExpired, 11, 1)
			e.holds(e.saves(snap(11, 2, "two")))
		}},
	{"claiming a lost or corrupt component works",
		"ClaimState needs the fence only; what became of the state is for LoadState to say",
		func(e *env) {
			o := e.owner()
			e.saves(snap(5, 1, "one"))
			e.wipe()
			e.claims(o, 10)
			e.missing(durable.ErrLost, 10, 1)
			c := e.of(e.other("-corrupt"))
			c.saves(snap(5, 1, "one"))
			c.corrupt()
			c.claims(o, 10)
			c.missing(durable.ErrCorrupt, 10, 1)
		}},
}

func (e *env) claims(o durable.Owner, epoch uint64) {
	e.Helper()
	if err := o.ClaimState(e.ctx, e.id, epoch); err != nil {
		e.broken("ClaimState with epoch %d: %v", epoch, err)
	}
}
