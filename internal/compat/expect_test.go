package compat_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

// An expectation is what a golden store holds, as the program that wrote it knew.
type expectation struct {
	Components map[string]component
	Leases     map[string]lease
	Program    map[string]int64 // entries of the ledger of the program
}

type component struct {
	Answer                   string       `json:",omitempty"` // of a load, "" for a snapshot
	Newest                   uint64       `json:",omitempty"` // version that a load returns, if not the first of Generations
	FenceEpoch, FenceVersion uint64       // no save up to here may be accepted
	Generations              []generation `json:",omitempty"` // newest first
}

type generation struct {
	Epoch, Version uint64
	WriteID        string `json:",omitempty"`
	Schema         int    `json:",omitempty"`
	Codec          string `json:",omitempty"`
	SavedAt        time.Time
	Bytes          int
	SHA256         string
	Damaged        bool `json:",omitempty"`
}

type lease struct {
	Holder   string
	Epoch    uint64
	Released bool
}

var answers = map[string]error{
	"not found": durable.ErrNotFound, "expired": durable.ErrExpired, "lost": durable.ErrLost,
	"corrupt": durable.ErrCorrupt, "too new": durable.ErrTooNew,
}

// writing reports whether stores that are missing are to be written. They are
// made once for each format, by the last version that writes it.
func writing() bool { return os.Getenv("WRITE_MISSING_GOLDEN") != "" }

func readExpectation(t *testing.T, path string) (e expectation) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &e))
	require.NotEmpty(t, e.Components)
	return e
}

func (e expectation) write(t *testing.T, path string) {
	b, err := json.MarshalIndent(e, "", "\t")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(b, '\n'), 0o644))
}

// check reads everything, then goes on working with the store, as a program does
// that was upgraded, and reads again.
func (e expectation) check(t *testing.T, open func(t *testing.T) adapter) {
	t.Run("everything is read", func(t *testing.T) { e.read(t, open(t)) })
	t.Run("reading changed nothing", func(t *testing.T) { e.read(t, open(t)) })
	t.Run("the fences hold", func(t *testing.T) { e.fences(t, open(t)) })
	t.Run("the program is restored", func(t *testing.T) { e.restore(t, open(t)) })
	t.Run("leases go on", func(t *testing.T) { e.leases(t, open(t)) })
	t.Run("it can be saved to", func(t *testing.T) { e.saveTo(t, open(t)) })
	t.Run("what was added is read", func(t *testing.T) { e.readAdded(t, open(t)) })
}

func (e expectation) each(t *testing.T, fn func(t *testing.T, id string, c component)) {
	for _, id := range slices.Sorted(maps.Keys(e.Components)) {
		t.Run(id, func(t *testing.T) { fn(t, id, e.Components[id]) })
	}
}

func (e expectation) read(t *testing.T, a adapter) {
	e.each(t, func(t *testing.T, id string, c component) {
		s, err := a.LoadState(ctx, id)
		if c.Answer != "" {
			require.ErrorIs(t, err, answers[c.Answer])
		} else {
			require.NoError(t, err)
			require.Equal(t, c.newest(), told(s))
			require.Equal(t, c.FenceVersion, s.LastVersion)
		}
		e.readHistory(t, a, id, c)
	})
	for name, want := range e.Leases {
		l, err := a.LoadLease(ctx, name)
		require.NoError(t, err)
		require.Equal(t, want, lease{l.Holder, l.Epoch, l.Released}, name)
	}
	var listed []string
	for id, err := range a.ListComponents(ctx) {
		require.NoError(t, err)
		listed = append(listed, id)
	}
	for id, c := range e.Components {
		require.Equal(t, c.Answer != "not found", slices.Contains(listed, id), id)
	}
}

func (e expectation) readHistory(t *testing.T, a adapter, id string, c component) {
	infos, _ := a.ListSnapshots(ctx, id)
	require.Len(t, infos, len(c.Generations))
	for i, g := range c.Generations {
		require.Equal(t, g.Version, infos[i].Version)
		require.Equal(t, g.Damaged, infos[i].Err != nil, "version %d: %v", g.Version, infos[i].Err)
		if g.Damaged {
			continue
		}
		s, err := a.LoadSnapshot(ctx, id, g.Version)
		require.NoError(t, err)
		require.Equal(t, g, told(s))
	}
}

// newest returns the generation that a load answers.
func (c component) newest() generation {
	i := slices.IndexFunc(c.Generations, func(g generation) bool { return !g.Damaged })
	return c.Generations[i]
}

// told is what a snapshot says, comparable with what the writer noted.
func told(s *durable.Snapshot) generation {
	return generation{
		Epoch: s.Epoch, Version: s.Version, WriteID: s.WriteID, Schema: s.Schema, Codec: s.Codec,
		SavedAt: s.SavedAt, Bytes: len(s.Data), SHA256: sum(s.Data),
	}
}

func (e expectation) fences(t *testing.T, a adapter) {
	e.each(t, func(t *testing.T, id string, c component) {
		late := func(epoch, version uint64) error {
			return a.SaveState(ctx, id, &durable.Snapshot{Epoch: epoch, Version: version, WriteID: "late", Data: []byte("late")})
		}
		if c.FenceEpoch > 0 {
			err := late(c.FenceEpoch-1, c.FenceVersion+1)
			var told *durable.Error
			require.ErrorIs(t, err, durable.ErrFenced)
			require.True(t, errors.As(err, &told))
			require.Equal(t, [2]uint64{c.FenceEpoch, c.FenceVersion}, [2]uint64{told.Epoch, told.Version})
		}
		if c.FenceVersion > 0 {
			require.ErrorIs(t, late(c.FenceEpoch, c.FenceVersion), durable.ErrConflict)
		}
	})
}

func (e expectation) restore(t *testing.T, a adapter) {
	books := durable.NewStatefulComponent(ledger{})
	opts := programOptions("reader")
	opts.Restore = durable.RestoreRequired
	cp := durable.New(a, opts)
	require.NoError(t, cp.Register("ledger", books))
	r, err := cp.Restore(ctx)
	require.NoError(t, err)
	require.True(t, r.CleanShutdown)
	require.Equal(t, "writer", r.Predecessor)
	books.View(func(l *ledger) { require.Equal(t, e.Program, l.Entries) })
	require.NoError(t, books.Commit(ctx, func(l *ledger) { l.Entries["carol"] = 1 }))
	require.NoError(t, cp.Close())
}

// leases takes over those whose holders are gone, with a greater epoch. Where
// the store was written just now they have a second left.
func (e expectation) leases(t *testing.T, a adapter) {
	for name, old := range e.Leases {
		var l *durable.Lease
		require.EventuallyWithT(t, func(t *assert.CollectT) {
			var err error
			l, err = a.AcquireLease(ctx, name, "reader", time.Minute)
			require.NoError(t, err, name)
		}, 5*time.Second, 50*time.Millisecond)
		require.Greater(t, l.Epoch, old.Epoch)
		require.NoError(t, a.ReleaseLease(ctx, l))
	}
}

func (e expectation) saveTo(t *testing.T, a adapter) {
	e.each(t, func(t *testing.T, id string, c component) {
		epoch := c.FenceEpoch + 1
		require.NoError(t, a.ClaimState(ctx, id, epoch))
		require.NoError(t, a.SaveState(ctx, id, added(id, c)))
		infos, err := a.ListSnapshots(ctx, id)
		require.NoError(t, err)
		require.Equal(t, c.FenceVersion+1, infos[0].Version)
		for _, g := range c.Generations[:min(len(c.Generations), keep-1)] {
			require.True(t, g.Damaged || slices.ContainsFunc(infos, func(i durable.SnapshotInfo) bool { return i.Version == g.Version }),
				"version %d is gone", g.Version)
		}
	})
}

func added(id string, c component) *durable.Snapshot {
	return &durable.Snapshot{Epoch: c.FenceEpoch + 1, Version: c.FenceVersion + 1, WriteID: "added", Data: fmt.Appendf(nil, "added to %q", id)}
}

func (e expectation) readAdded(t *testing.T, a adapter) {
	e.each(t, func(t *testing.T, id string, c component) {
		s, err := a.LoadState(ctx, id)
		require.NoError(t, err)
		require.Equal(t, string(added(id, c).Data), string(s.Data))
		require.Equal(t, c.FenceVersion+1, s.LastVersion)
	})
}
