package adaptertest

import "github.com/durablestate/durable"

var loadRules = []rule{
	{"what was never saved is ErrNotFound",
		"answer durable.ErrNotFound in a *durable.Error; never (nil, nil), an empty snapshot or fs.ErrNotExist",
		func(e *env) { e.missing(durable.ErrNotFound, 0, 0) }},
	{"the caller owns what was loaded",
		"return a copy of Data and a Snapshot of its own for every load",
		func(e *env) {
			s := e.saves(snap(1, 1, "stored"))
			a, b := e.loads(), e.loads()
			for i := range a.Data {
				a.Data[i] = 'X'
			}
			a.Data = append(a.Data, "more"...)
			a.Epoch, a.Version, a.Codec = 99, 99, "changed"
			e.same("an earlier LoadState", b, s, 1)
			e.holds(s)
		}},
	{"a load sees the newest save",
		"read your own writes: no stale cache, no lagging replica",
		func(e *env) {
			for v := uint64(1); v <= 10; v++ {
				e.holds(e.saves(snap(1, v, "data")))
			}
		}},
	{"expired is ErrExpired and not absent",
		"remember that the component was saved (the fence has no TTL) and answer ErrExpired with the fence",
		func(e *env) {
			e.saves(snap(5, 3, "three"))
			e.expire()
			e.missing(durable.ErrExpired, 5, 3)
			e.missing(durable.ErrExpired, 5, 3)
		}},
	{"lost is ErrLost and not absent",
		"remember that the component was saved (the fence outlives the state) and answer ErrLost with the fence",
		func(e *env) {
			e.saves(snap(5, 2, "two"))
			e.saves(snap(5, 3, "three"))
			e.wipe()
			e.missing(durable.ErrLost, 5, 3)
			e.missing(durable.ErrLost, 5, 3)
		}},
	{"an expired component can be saved again",
		"let a version above the fence in, with a TTL like any other",
		func(e *env) {
			e.saves(snap(5, 3, "three"))
			e.expire()
			e.holds(e.saves(snap(5, 4, "four")))
			e.expire()
			e.saves(snap(5, 0, "five"))
			e.isAt(5, 5)
		}},
	{"a component that expired twice is expired twice",
		"give every save its TTL: a key written after an expiry must not live for ever",
		func(e *env) {
			e.saves(snap(5, 3, "three"))
			e.expire()
			e.saves(snap(5, 4, "four"))
			e.expire()
			e.missing(durable.ErrExpired, 5, 4)
		}},
	{"the fence outlives expiry",
		"keep the fence without a TTL: an old version or epoch on an expired component is as late as ever",
		func(e *env) {
			e.saves(snap(5, 3, "three"))
			e.expire()
			e.refuses(snap(5, 3, "late"), durable.ErrConflict, 5, 3)
			e.refuses(snap(5, 2, "late"), durable.ErrConflict, 5, 3)
			e.refuses(snap(4, 4, "late"), durable.ErrFenced, 5, 3)
			e.missing(durable.ErrExpired, 5, 3)
		}},
	{"the fence outlives loss",
		"keep the fence apart from the state: an old version or epoch on a lost component is as late as ever",
		func(e *env) {
			e.saves(snap(5, 3, "three"))
			e.wipe()
			e.refuses(snap(5, 3, "late"), durable.ErrConflict, 5, 3)
			e.refuses(snap(4, 4, "late"), durable.ErrFenced, 5, 3)
			e.missing(durable.ErrLost, 5, 3)
			e.holds(e.saves(snap(5, 4, "four")))
		}},
}
