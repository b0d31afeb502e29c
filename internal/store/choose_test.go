package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/store"
)

var errUnreachable = errors.New("connection refused")

// answers are what a load in one place may find at a version.
var answers = map[string]func(version uint64) store.Found{
	"state": func(v uint64) store.Found {
		return store.FoundBy(&store.Snapshot{Epoch: 7, Version: v, LastVersion: v}, store.Fence{}, nil)
	},
	"plain":       func(uint64) store.Found { return store.FoundBy(&store.Snapshot{}, store.Fence{}, nil) },
	"absent":      func(uint64) store.Found { return failed(store.Fence{}, store.ErrNotFound) },
	"claimed":     func(uint64) store.Found { return failed(store.Fence{Epoch: 9}, store.ErrNotFound) },
	"deleted":     func(v uint64) store.Found { return failed(store.Fence{Epoch: 8, Version: v}, store.ErrNotFound) },
	"expired":     func(v uint64) store.Found { return failed(store.Fence{Epoch: 7, Version: v}, store.ErrExpired) },
	"lost":        func(v uint64) store.Found { return failed(store.Fence{Epoch: 7, Version: v}, store.ErrLost) },
	"corrupt":     func(v uint64) store.Found { return failed(store.Fence{Epoch: 7, Version: v}, store.ErrCorrupt) },
	"too-new":     func(v uint64) store.Found { return failed(store.Fence{Epoch: 7, Version: v}, store.ErrTooNew) },
	"too-large":   func(v uint64) store.Found { return failed(store.Fence{Epoch: 7, Version: v}, store.ErrTooLarge) },
	"expired?":    func(uint64) store.Found { return failed(store.Fence{}, store.ErrExpired) },
	"corrupt?":    func(uint64) store.Found { return failed(store.Fence{}, store.ErrCorrupt) },
	"too-large?":  func(uint64) store.Found { return failed(store.Fence{}, store.ErrTooLarge) },
	"unreachable": func(v uint64) store.Found { return failed(store.Fence{Epoch: 7, Version: v}, errUnreachable) },
}

func failed(f store.Fence, err error) store.Found {
	return store.FoundBy(nil, f, fmt.Errorf("load: %w", err))
}

// choices say for each pair where a restore takes the state from: s is the set, o
// the component's own snapshots, and v whichever is at the higher version, the set
// where they are equal. A question mark is an answer that carries no fence.
const choices = `
own\set     state plain absent claimed deleted expired lost corrupt too-new too-large expired? corrupt? too-large? unreachable
state       v     o     o      o       v       v       v    v       v       v         o        s        s          s
plain       s     s     o      o       s       s       s    s       s       s         s        s        s          s
absent      s     s     o      o       s       s       s    s       s       s         s        s        s          s
claimed     s     s     o      o       s       s       s    s       s       s         s        s        s          s
deleted     v     o     o      o       v       v       v    v       v       v         o        s        s          s
expired     v     o     o      o       v       v       v    v       v       v         o        s        s          s
lost        v     o     o      o       v       v       v    v       v       v         o        s        s          s
corrupt     v     o     o      o       v       v       v    v       v       v         o        s        s          s
too-new     v     o     o      o       v       v       v    v       v       v         o        s        s          s
too-large   v     o     o      o       v       v       v    v       v       v         o        s        s          s
expired?    s     s     o      o       s       s       s    s       s       s         s        s        s          s
corrupt?    o     o     o      o       o       o       o    o       o       o         o        s        s          s
too-large?  o     o     o      o       o       o       o    o       o       o         o        s        s          s
unreachable o     o     o      o       o       o       o    o       o       o         o        s        s          s
`

func TestTheNewerPlaceIsChosenWhateverIsFoundInEach(t *testing.T) {
	rows := strings.Split(strings.TrimSpace(choices), "\n")
	columns := strings.Fields(rows[0])[1:]
	require.Len(t, columns, len(answers))
	require.Len(t, rows[1:], len(answers))
	for _, row := range rows[1:] {
		cells := strings.Fields(row)
		for i, cell := range cells[1:] {
			for _, own := range []uint64{4, 5, 6} {
				want := cell == "o" || cell == "v" && own > 5
				c := store.Choose(answers[cells[0]](own), answers[columns[i]](5))
				require.Equal(t, store.Choice{Own: want}, c, "own: %s at %d, set: %s at 5", cells[0], own, columns[i])
			}
		}
	}
}

func state(epoch, version, last uint64) store.Found {
	return store.FoundBy(&store.Snapshot{Epoch: epoch, Version: version, LastVersion: last}, store.Fence{}, nil)
}

func TestOfTwoStatesTheOneOfTheHigherEpochIsChosen(t *testing.T) {
	require.True(t, store.Choose(state(2, 1, 1), state(1, 9, 9)).Own)
	require.False(t, store.Choose(state(1, 9, 9), state(2, 1, 1)).Own)
	require.False(t, store.Choose(store.FoundBy(&store.Snapshot{Epoch: 3}, store.Fence{}, nil), state(2, 1, 1)).Own, "a plain value has no epoch of its own")
	require.True(t, store.Choose(state(1, 9, 9), failed(store.Fence{Epoch: 2, Version: 1}, store.ErrCorrupt)).Own, "the epoch of a fence may be that of a claim")
}

// A part of a set has the version and epoch that it was captured under as its
// fence, and the versions of the set.
func part(epoch, version, set, last uint64) store.Found {
	return store.Found{Fence: store.Fence{Epoch: epoch, Version: version}, Version: set, LastVersion: last}
}

func TestWhatIsPassedOverThoughItHadNewerVersionsIsTold(t *testing.T) {
	for _, c := range []struct {
		name     string
		own, set store.Found
		want     store.Choice
	}{
		{"all verifies", state(1, 3, 3), part(2, 5, 5, 5), store.Choice{}},
		{"own versions above the set's do not verify", state(1, 3, 9), part(2, 5, 8, 8), store.Choice{FellBackFrom: 9}},
		{"own versions do not verify, but the set is newer than they", state(1, 3, 4), part(2, 5, 5, 5), store.Choice{}},
		{"the set's versions above its own do not verify", state(2, 6, 6), part(1, 3, 3, 8), store.Choice{Own: true, FellBackFrom: 8}},
		{"the set's versions do not verify, but its own are newer", state(2, 9, 9), part(1, 3, 3, 8), store.Choice{Own: true}},
		{"own versions that are newer count where the chosen one fell back, too", state(1, 3, 9), part(2, 5, 5, 7), store.Choice{FellBackFrom: 9}},
		{"the chosen one fell back by itself", state(1, 3, 3), part(2, 5, 5, 7), store.Choice{}},
		{"nothing of the other place can be read", failed(store.Fence{Epoch: 1, Version: 4}, store.ErrCorrupt), part(2, 5, 5, 5), store.Choice{}},
		{"own versions are higher and of an older epoch", state(1, 9, 9), part(2, 5, 5, 5), store.Choice{}},
		{"the chosen place tells nothing at all", state(1, 3, 9), failed(store.Fence{}, store.ErrCorrupt), store.Choice{}},
		{"nothing of the chosen place can be read", state(1, 3, 4), failed(store.Fence{Epoch: 1, Version: 5}, store.ErrCorrupt), store.Choice{}},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, store.Choose(c.own, c.set)) })
	}
}

func TestFoundByTakesInWhatALoadTells(t *testing.T) {
	require.Equal(t, store.Found{Fence: store.Fence{Epoch: 2, Version: 7}, Version: 5, LastVersion: 7}, state(2, 5, 7))
	f := failed(store.Fence{Epoch: 2, Version: 7}, store.ErrLost)
	require.Equal(t, store.Fence{Epoch: 2, Version: 7}, f.Fence)
	require.ErrorIs(t, f.Err, store.ErrLost)
	require.Zero(t, store.FoundBy(nil, store.Fence{}, errUnreachable).Fence)
	for name, exists := range map[string]bool{"absent": false, "claimed": false, "deleted": true, "plain": true, "expired?": true, "unreachable": true} {
		require.Equal(t, exists, answers[name](5).Existed(), name)
	}
}
