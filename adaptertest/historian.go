package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/durablestate/durable"
)

// many is more than a store answers at once.
const many = 1100

var historianRules = []rule{
	{"a saved component is listed, once",
		"ListComponents yields every id that was saved and not deleted, as it was given",
		func(e *env) {
			e.historian()
			want := []string{e.id, e.other("/Sub id*{é}")}
			for _, id := range want {
				e.of(id).saves(snap(1, 1, "one"))
				e.of(id).saves(snap(1, 2, "two"))
			}
			e.lists(want...)
		}},
	{"every component is listed, however many there are",
		"go on to the last page of what the store answers",
		func(e *env) {
			e.historian()
			want := make([]string, many)
			if testing.Short() {
				want = want[:many/4]
			}
			for i := range want {
				want[i] = e.other(fmt.Sprintf("/%d", i))
			}
			errs := race(writers, func(w int) error {
				for i := w; i < len(want); i += writers {
					if err := e.of(want[i]).save(snap(1, 1, "one")); err != nil {
						return err
					}
				}
				return nil
			})
			if err := errors.Join(errs...); err != nil {
				e.broken("SaveState: %v", err)
			}
			e.lists(want...)
		}},
	{"a deleted component is not listed",
		"take the component off the list with DeleteState, and on it again with the next save",
		func(e *env) {
			e.historian()
			e.saves(snap(1, 1, "one"))
			e.deletes()
			e.lists()
			e.saves(snap(2, 2, "two"))
			e.lists(e.id)
		}},
	{"a component that was only claimed is not listed",
		"a fence is no state",
		func(e *env) {
			e.historian()
			o := e.owner()
			e.claims(o, 5)
			e.acquires(o, "one", long)
			e.lists()
		}},
	{"expired and lost components are listed",
		"list what was saved and not deleted, whatever became of it: an operator looks for what is missing",
		func(e *env) {
			e.historian()
			lost := e.of(e.other("-lost"))
			lost.saves(snap(1, 1, "one"))
			lost.wipe()
			e.saves(snap(1, 1, "one"))
			e.expire()
			e.lists(e.id, lost.id)
		}},
	{"a list can be left early",
		"stop when yield returns false, and hold no lock while yielding",
		func(e *env) {
			h := e.historian()
			for i := range 5 {
				e.of(e.other(string(rune('a' + i)))).saves(snap(1, 1, "one"))
			}
			for id, err := range h.ListComponents(e.ctx) {
				if err != nil {
					e.broken("ListComponents: %v", err)
				}
				e.of(e.other("-while")).saves(snap(1, 0, id))
				break
			}
		}},
	{"a list whose context has ended ends with an error",
		"yield the error and stop",
		func(e *env) {
			h := e.historian()
			e.saves(snap(1, 1, "one"))
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			var errs []error
			for _, err := range h.ListComponents(ctx) {
				errs = append(errs, err)
			}
			if len(errs) != 1 {
				e.broken("ListComponents yielded %v", errs)
			}
			e.failed("ListComponents", errs[0])
		}},
	{"snapshots are listed newest first with all they say",
		"order by Version and fill in epoch, version, time, schema, codec and the length of the state",
		func(e *env) {
			h := e.historian()
			for v := uint64(1); v <= 2; v++ {
				e.saves(snap(5, v*3, strings.Repeat("x", int(v))))
			}
			infos := e.snapshots(h)
			if len(infos) != 2 {
				e.broken("ListSnapshots returned %d snapshots after 2 saves", len(infos))
			}
			for i, want := range []durable.SnapshotInfo{{Version: 6, Bytes: 2}, {Version: 3, Bytes: 1}} {
				got := infos[i]
				if got.Version != want.Version || got.Bytes != want.Bytes || got.Epoch != 5 || got.Schema != 3 || got.Codec != "json" || !got.SavedAt.Equal(savedAt) || got.Err != nil {
					e.broken("ListSnapshots returned %+v at place %d; its version should be %d and its length %d", got, i, want.Version, want.Bytes)
				}
			}
		}},
	{"every generation that is listed can be loaded, and the newest is the first",
		"list what is stored, each generation once",
		func(e *env) {
			h := e.historian()
			const saves = 10
			for v := uint64(1); v <= saves; v++ {
				e.saves(snap(1, v, fmt.Sprintf("version %d", v)))
			}
			before := uint64(saves + 1)
			for i, info := range e.snapshots(h) {
				if info.Version >= before || i == 0 && info.Version != saves {
					e.broken("ListSnapshots has version %d at place %d, behind %d", info.Version, i, before)
				}
				before = info.Version
				s, err := h.LoadSnapshot(e.ctx, e.id, info.Version)
				e.same("LoadSnapshot", e.found("LoadSnapshot of what is listed", s, err), snap(1, info.Version, fmt.Sprintf("version %d", info.Version)), saves)
			}
		}},
	{"a repeat adds no generation",
		"a repeat writes nothing",
		func(e *env) {
			h := e.historian()
			s := e.saves(snap(5, 1, "one"))
			e.saves(s)
			e.saves(refresh(s))
			if infos := e.snapshots(h); len(infos) != 1 {
				e.broken("ListSnapshots returned %d snapshots after a save and two repeats", len(infos))
			}
		}},
	{"an older generation can be loaded",
		"LoadSnapshot returns exactly that generation, with LastVersion set as LoadState sets it",
		func(e *env) {
			h := e.historian()
			old := e.saves(snap(5, 1, "one"))
			now := e.saves(snap(5, 2, "two"))
			for _, want := range []*durable.Snapshot{old, now} {
				s, err := h.LoadSnapshot(e.ctx, e.id, want.Version)
				e.same("LoadSnapshot", e.found("LoadSnapshot", s, err), want, 2)
				s.Data[0] = 'X'
			}
			e.holds(now)
			s, err := h.LoadSnapshot(e.ctx, e.id, 1)
			e.same("LoadSnapshot", e.found("LoadSnapshot", s, err), old, 2)
		}},
	{"a generation that is not stored is ErrNotFound",
		"answer durable.ErrNotFound for versions that were pruned, skipped or never saved",
		func(e *env) {
			h := e.historian()
			_, err := h.LoadSnapshot(e.ctx, e.id, 1)
			e.answers("LoadSnapshot of an unknown component", err, durable.ErrNotFound)
			e.saves(snap(5, 1, "one"))
			e.saves(snap(5, 3, "three"))
			for _, v := range []uint64{0, 2, 4, 1 << 60} {
				_, err := h.LoadSnapshot(e.ctx, e.id, v)
				e.answers(fmt.Sprintf("LoadSnapshot of version %d", v), err, durable.ErrNotFound)
			}
			e.deletes()
			_, err = h.LoadSnapshot(e.ctx, e.id, 3)
			e.answers("LoadSnapshot of a deleted component", err, durable.ErrNotFound)
		}},
	{"a component without generations answers as LoadState does",
		"ListSnapshots of nothing is an error: ErrNotFound, ErrExpired or ErrLost, with the fence",
		func(e *env) {
			h := e.historian()
			e.noSnapshots(h, durable.ErrNotFound, 0, 0)
			e.saves(snap(5, 1, "one"))
			e.deletes()
			e.noSnapshots(h, durable.ErrNotFound, 6, 1)
		}},
	{"a lost component without generations is ErrLost in the list of snapshots",
		"ListSnapshots of nothing answers what LoadState answers",
		func(e *env) {
			h := e.historian()
			e.saves(snap(5, 1, "one"))
			e.wipe()
			e.noSnapshots(h, durable.ErrLost, 5, 1)
		}},
	{"an expired component is ErrExpired in the list of snapshots",
		"ListSnapshots of nothing answers what LoadState answers",
		func(e *env) {
			h := e.historian()
			e.saves(snap(5, 1, "one"))
			e.expire()
			e.noSnapshots(h, durable.ErrExpired, 5, 1)
		}},
	{"a corrupt generation is listed with its error",
		"verify every generation; set Err where one does not verify and go on",
		func(e *env) {
			h := e.historian()
			e.saves(snap(5, 1, "one"))
			e.saves(snap(5, 2, "two"))
			e.corrupt()
			infos := e.snapshots(h)
			if len(infos) != 2 || !errors.Is(infos[0].Err, durable.ErrCorrupt) || infos[1].Err != nil || infos[1].Version != 1 {
				e.broken("ListSnapshots returned %+v instead of a corrupt one and version 1", infos)
			}
		}},
	{"at least two generations are kept, and not all",
		"prune after a save, but never the generation before the newest",
		func(e *env) {
			h := e.historian()
			const saves = 50
			for v := uint64(1); v <= saves; v++ {
				e.saves(snap(1, v, "data"))
				if n := len(e.snapshots(h)); v > 1 && n < 2 {
					e.broken("%d generations are kept after %d saves", n, v)
				}
			}
			if n := len(e.snapshots(h)); n >= saves {
				e.broken("%d generations are kept after %d saves", n, saves)
			}
		}},
}

// lists checks which of the ids of this check are listed.
func (e *env) lists(want ...string) {
	e.Helper()
	var got []string
	for id, err := range e.historian().ListComponents(e.ctx) {
		if err != nil {
			e.broken("ListComponents: %v", err)
		}
		if strings.HasPrefix(id, e.id) {
			got = append(got, id)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) > 10 && len(got) != len(want) {
		e.broken("ListComponents yielded %d of %d components", len(got), len(want))
	}
	if !slices.Equal(got, want) {
		e.broken("ListComponents yielded %q instead of %q", got, want)
	}
}

// sameInfo compares what is said of two generations that verify.
func sameInfo(a, b durable.SnapshotInfo) bool {
	return a.Version == b.Version && a.Epoch == b.Epoch && a.Bytes == b.Bytes && a.SavedAt.Equal(b.SavedAt) && a.Err == nil && b.Err == nil
}

func (e *env) snapshots(h durable.Historian) []durable.SnapshotInfo {
	e.Helper()
	infos, err := h.ListSnapshots(e.ctx, e.id)
	if err != nil {
		e.broken("ListSnapshots: %v", err)
	}
	return infos
}

func (e *env) noSnapshots(h durable.Historian, want error, epoch, version uint64) {
	e.Helper()
	_, err := h.ListSnapshots(e.ctx, e.id)
	e.answersFence("ListSnapshots", err, want, epoch, version)
}
