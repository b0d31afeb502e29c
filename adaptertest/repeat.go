package adaptertest

import "github.com/durablestate/durable"

var repeatRules = []rule{
	{"the last save again succeeds",
		"remember Epoch, Version and WriteID of the last accepted save; the same three again are a retry whose reply was lost",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			for range 3 {
				e.saves(s)
			}
			e.holds(s)
			e.holds(e.saves(snap(5, 4, "four")))
		}},
	{"a repeat writes nothing",
		"answer a repeat from what is stored: the bytes of the first attempt are the ones that were acknowledged",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			again := clone(s)
			again.Data = []byte("else!")
			e.saves(again)
			e.holds(s)
		}},
	{"a repeat with nil Data succeeds and leaves the state alone",
		"nil Data in a repeat only refreshes the TTL; it is no empty state",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			for range 3 {
				e.saves(refresh(s))
				e.holds(s)
			}
		}},
	{"a repeat of an empty state is recognised",
		"tell a slice of length 0 from a nil one",
		func(e *env) {
			s := e.saves(snap(5, 3, ""))
			e.saves(s)
			e.saves(refresh(s))
			e.holds(s)
		}},
	{"only the same epoch, version and WriteID are a repeat",
		"compare all three; another WriteID at the same version is another writer",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			other := clone(s)
			other.WriteID = "another"
			e.refuses(other, durable.ErrConflict, 5, 3)
			e.refuses(refresh(other), durable.ErrConflict, 5, 3)
			above := clone(s)
			above.Epoch = 6
			e.refuses(above, durable.ErrConflict, 5, 3)
			e.holds(s)
		}},
	{"a late repeat after a newer save is refused with ErrConflict",
		"recognise the last accepted save only: an earlier one that comes late must not replace or confirm anything",
		func(e *env) {
			first := e.saves(snap(5, 3, "three"))
			second := e.saves(snap(5, 4, "four"))
			e.refuses(first, durable.ErrConflict, 5, 4)
			e.refuses(refresh(first), durable.ErrConflict, 5, 4)
			e.holds(second)
		}},
	{"a repeat below a newer epoch is refused with ErrFenced",
		"check the epoch before looking for a repeat",
		func(e *env) {
			first := e.saves(snap(5, 3, "three"))
			second := e.saves(snap(6, 4, "four"))
			e.refuses(first, durable.ErrFenced, 6, 4)
			e.refuses(refresh(first), durable.ErrFenced, 6, 4)
			e.holds(second)
		}},
	{"a repeat does not resurrect deleted state",
		"DeleteState raises the fence's epoch and forgets the last accepted save",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			e.deletes()
			e.refuses(s, durable.ErrFenced, 6, 3)
			e.refuses(refresh(s), durable.ErrFenced, 6, 3)
			e.missing(durable.ErrNotFound, 6, 3)
		}},
	{"a repeat of lost state writes it again",
		"before a repeat succeeds, see that the stored copy is there; write it again if it is not",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			e.wipe()
			again := e.saves(clone(s))
			copy(again.Data, "XXXXX") // it is the caller's, as in a first save
			e.holds(s)
			e.saves(refresh(s))
		}},
	{"a refresh of lost state answers ErrLost",
		"before a repeat with nil Data succeeds, see that the stored copy is there; the caller then sends the data",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			e.wipe()
			e.refuses(refresh(s), durable.ErrLost, 5, 3)
			e.missing(durable.ErrLost, 5, 3)
		}},
	{"a repeat of expired state writes it again",
		"a repeat with Data brings a copy that expired back to life, with a new TTL",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			e.expire()
			e.saves(s)
			e.holds(s)
			e.saves(refresh(s))
			e.holds(s)
		}},
	{"a refresh of expired state answers ErrLost",
		"a repeat with nil Data cannot bring a copy back that expired; the caller then sends the data",
		func(e *env) {
			s := e.saves(snap(5, 3, "three"))
			e.expire()
			e.refuses(refresh(s), durable.ErrLost, 5, 3)
		}},
	{"a repeat of an earlier save is refused also when the state is lost",
		"the last accepted save outlives the stored copy, like the fence",
		func(e *env) {
			first := e.saves(snap(5, 3, "three"))
			e.saves(snap(5, 4, "four"))
			e.wipe()
			e.refuses(first, durable.ErrConflict, 5, 4)
			e.missing(durable.ErrLost, 5, 4)
		}},
}
