package cli_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

type tally struct{ N int }

// owner is a program that runs on a store.
type owner struct {
	durable.StatefulComponent[tally]
	cp *durable.Checkpointer

	mu     sync.Mutex
	fences int
}

func (p *place) start(t *testing.T) *owner {
	o := &owner{}
	o.cp = durable.New(p.open(t), &durable.Options{System: "app", Holder: "pod-0", Interval: time.Hour, LeaseTTL: 3 * time.Second, OnEvent: func(e durable.Event) {
		if e.Op == "fence" {
			o.mu.Lock()
			o.fences++
			o.mu.Unlock()
		}
	}})
	require.NoError(t, o.cp.Register("tally", o))
	_, err := o.cp.Restore(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { o.cp.Close() })
	return o
}

func (o *owner) commit(t *testing.T, n int) {
	require.NoError(t, o.Commit(ctx, func(s *tally) { s.N = n }))
}

func (o *owner) value() (n int) {
	o.View(func(s *tally) { n = s.N })
	return n
}

func TestRollbackUnderALiveOwner(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		o := p.start(t)
		for n := 1; n <= 3; n++ {
			o.commit(t, n*10)
		}
		fails(t, 5, "--yes", "rollback", "-c", p.config, "--system", "app", "tally", "1")
		require.Equal(t, 30, o.value())
		o.commit(t, 30) // nothing was changed, the owner goes on

		versions := ok(t, "history", "-c", p.config, "app/tally", "--json")
		require.Contains(t, versions, `"version":2`)
		out := ok(t, "rollback", "-c", p.config, "--system", "app", "tally", "2", "--yes", "--json")
		require.EqualValues(t, 2, object(t, out)["to"])

		// The owner is fenced and told, and what it has cannot undo the rollback.
		require.ErrorIs(t, o.Commit(ctx, func(s *tally) { s.N = 99 }), durable.ErrFenced)
		require.ErrorIs(t, o.CheckpointState(ctx), durable.ErrFenced)
		o.mu.Lock()
		require.Positive(t, o.fences)
		o.mu.Unlock()
		require.Contains(t, ok(t, "show", "-c", p.config, "app/tally", "--raw"), `"N":20`)

		// It restores the chosen version, and nothing it saves then is lost.
		report, err := o.cp.Restore(ctx, "tally")
		require.NoError(t, err)
		require.Equal(t, durable.Restored, report.Results[0].Outcome)
		require.Equal(t, 20, o.value())
		o.commit(t, 21)
		require.NoError(t, o.cp.Close())
		again := p.start(t)
		require.Equal(t, 21, again.value())
	})
}

func TestRollbackIsRefusedWhereItWouldDoNothingOrMix(t *testing.T) {
	p := filePlace(t)
	a := p.open(t)
	fill(t, a, 1, 2, "app/c")
	fails(t, 5, "newest already", "rollback", "-c", p.config, "app/c", "2", "--yes")
	fails(t, 4, "there are 2, 1", "rollback", "-c", p.config, "app/c", "7", "--yes")
	fails(t, 4, "no component", "rollback", "-c", p.config, "app/d", "7", "--yes")
	fails(t, 2, "no version", "rollback", "-c", p.config, "app/c", "seven", "--yes")
	saveSet(t, a, "app/~set", 2, 3, "c")
	fails(t, 5, "roll that back", "rollback", "-c", p.config, "app/c", "1", "--yes")
	fails(t, 5, "roll that back", "rollback", "-c", p.config, "app/c", "1", "--yes", "--force")
}

func TestDeleteUnderALiveOwner(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		o := p.start(t)
		o.commit(t, 5)
		fails(t, 4, "no component", "delete", "-c", p.config, "app/none", "--yes")
		fails(t, 5, "--yes", "delete", "-c", p.config, "app/tally")
		ok(t, "delete", "-c", p.config, "app/tally", "--yes")
		require.ErrorIs(t, o.Commit(ctx, func(s *tally) { s.N = 6 }), durable.ErrFenced)
		fails(t, 4, "was deleted", "show", "-c", p.config, "app/tally")
		report, err := o.cp.Restore(ctx, "tally")
		require.NoError(t, err)
		require.Equal(t, durable.FirstBoot, report.Results[0].Outcome)
		require.Zero(t, o.value())
	})
}

func TestLeaseIsShownAndReleased(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		fill(t, p.open(t), 1, 1, "app/c")
		fails(t, 4, "nobody ever owned", "lease", "show", "app", "-c", p.config)
		fails(t, 4, "nobody ever owned", "lease", "release", "app", "-c", p.config, "--yes")
		gone := p.open(t)
		_, err := gone.AcquireLease(ctx, "app", "pod-9", time.Hour)
		require.NoError(t, err)
		require.Regexp(t, `(?m)^app +held +pod-9 .* in `, ok(t, "lease", "show", "-c", p.config))
		fails(t, 5, "--yes", "lease", "release", "app", "-c", p.config)
		require.Regexp(t, `(?m)^app +released +pod-9`, ok(t, "lease", "release", "app", "-c", p.config, "--yes"))
		_, err = p.open(t).AcquireLease(ctx, "app", "pod-10", time.Hour)
		require.NoError(t, err)
	})
}

func TestAHolderThatCrashedIsShownAsGoneWhereThatIsKnown(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		fill(t, p.open(t), 1, 2, "app/c")
		crashed := p.open(t)
		_, err := crashed.AcquireLease(ctx, "app", "pod-9", time.Hour)
		require.NoError(t, err)
		require.Equal(t, "pod-9", row(t, p, "app/c")["owner"])
		require.NoError(t, crashed.Close()) // without a release
		if p.dir == "" {
			require.Regexp(t, `(?m)^app +held +pod-9`, ok(t, "lease", "show", "-c", p.config), "a server knows of no process")
			return
		}
		before := p.picture(t)
		require.Regexp(t, `(?m)^app +holder gone +pod-9 .* -$`, ok(t, "lease", "show", "-c", p.config))
		require.Equal(t, "-", row(t, p, "app/c")["owner"])
		require.Contains(t, ok(t, "show", "-c", p.config, "app/c"), "the process of pod-9 has ended")
		_, found := findings(t, "-c", p.config)
		require.Equal(t, "warning", found["lease"]["severity"])
		require.NotContains(t, run(t, "copy", "--from", p.config, "--to", filePlace(t).config).err, "pod-9 runs")
		require.Equal(t, before, p.picture(t))
		require.Regexp(t, `(?m)^app +released`, ok(t, "lease", "release", "app", "-c", p.config, "--yes"))
	})
}

func TestALiveHolderIsToldThatItsLeaseWasReleased(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		t.Parallel()
		o := p.start(t)
		o.commit(t, 5)
		require.Contains(t, ok(t, "lease", "release", "app", "-c", p.config, "--yes"), "released")
		told := func() bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.fences > 0
		}
		require.Eventually(t, told, 10*time.Second, 10*time.Millisecond, "by its next renewal")
		require.ErrorIs(t, o.Commit(ctx, func(s *tally) { s.N = 6 }), durable.ErrFenced)
		next := p.start(t)
		require.Equal(t, 5, next.value())
	})
}

func TestJSONErrorsAreJSON(t *testing.T) {
	p := filePlace(t)
	fill(t, p.open(t), 1, 1, "app/c")
	var e struct {
		Error string
		Code  int `json:"exit_code"`
	}
	require.NoError(t, json.Unmarshal([]byte(run(t, "show", "x", "--json", "-c", p.config).err), &e))
	require.Equal(t, 4, e.Code)
	require.Contains(t, e.Error, fmt.Sprintf("%q", "x"))
}

// A program that keeps ten generations has ten left, whatever the command does with
// its own default.
func TestTheCommandCostsNoGenerationOfAProgramThatKeepsMore(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		a := p.openKeeping(t, 10)
		for v := range uint64(12) {
			for _, id := range []string{"app/tally", "app/other"} {
				require.NoError(t, a.SaveState(ctx, id, &durable.Snapshot{Version: v + 1, Codec: "json", Data: []byte(`{"N":1}`)}))
			}
		}
		_, err := a.AcquireLease(ctx, "app", "pod-1", time.Hour)
		require.NoError(t, err)
		require.NoError(t, a.Close())
		file := filepath.Join(t.TempDir(), "archive")
		require.Contains(t, ok(t, "export", file, "-c", p.config), "20 generations")
		ok(t, "lease", "release", "app", "--yes", "-c", p.config)
		ok(t, "rollback", "--yes", "-c", p.config, "app/tally", "4")
		for id, want := range map[string]int{"app/tally": 11, "app/other": 10} {
			infos, err := p.openKeeping(t, 1).ListSnapshots(ctx, id)
			require.NoError(t, err)
			require.Len(t, infos, want, id)
		}
		directory := filepath.Join(t.TempDir(), "target")
		ok(t, "import", file, "--directory", directory)
		b, err := durable.NewFileAdapter(directory, nil)
		require.NoError(t, err)
		defer b.Close()
		infos, err := b.ListSnapshots(ctx, "app/other")
		require.NoError(t, err)
		require.Len(t, infos, 10)
	})
}
