package cli_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

// refusing is a component that takes no state.
type refusing struct {
	durable.StatefulComponent[tally]
}

func (*refusing) RestoreState([]byte) error { return errors.New("a bug of this release") }

func TestWhatWasSetAsideIsListedShownBroughtBackAndRemoved(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		o := p.start(t)
		o.commit(t, 42)
		require.NoError(t, o.cp.Close())
		cp := durable.New(p.open(t), &durable.Options{System: "app", Restore: durable.FreshIfUnreadable})
		c := &refusing{}
		require.NoError(t, cp.Register("tally", c))
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, c.Commit(ctx, func(s *tally) { s.N = 1 }))
		require.NoError(t, cp.Close())

		out := ok(t, "ls", "-c", p.config, "--all")
		at := strings.Index(out, "~aside/")
		require.GreaterOrEqual(t, at, 0, out)
		aside, _, _ := strings.Cut(out[at:], " ")
		require.Contains(t, ok(t, "show", "-c", p.config, aside), "42")
		require.Contains(t, ok(t, "rollback", "-c", p.config, "--system", "app", "tally", aside, "--yes"), "has the content of "+aside)
		o = p.start(t)
		require.Equal(t, 42, o.value())
		require.NoError(t, o.cp.Close())
		ok(t, "delete", "-c", p.config, aside, "--yes")
		require.NotContains(t, ok(t, "ls", "-c", p.config, "--all"), "~aside/")
	})
}

func TestWhatAStoreSetAsideIsListedShownAndRemoved(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		a := p.open(t)
		fill(t, a, 7, 1, "app/tally")
		p.rot(t, "app/tally", 1)
		_, err := a.ListSnapshots(ctx, "app/tally") // it is noticed
		require.NoError(t, err)
		for range 6 {
			require.NoError(t, a.SaveState(ctx, "app/tally", &durable.Snapshot{Codec: "json", Data: []byte("{}")}))
		}
		require.NoError(t, a.Close())
		require.NotContains(t, ok(t, "ls", "-c", p.config), "~damaged/")
		out := ok(t, "ls", "-c", p.config, "--all")
		at := strings.Index(out, "~damaged/")
		require.GreaterOrEqual(t, at, 0, out)
		damaged, _, _ := strings.Cut(out[at:], " ")
		require.Contains(t, ok(t, "show", "-c", p.config, "--raw", damaged), "DURABLE 01")
		require.Contains(t, ok(t, "delete", "-c", p.config, damaged, "--yes"), "deleted, and nothing else changes")
		require.NotContains(t, ok(t, "ls", "-c", p.config, "--all"), "~damaged/")
		require.Contains(t, ok(t, "history", "-c", p.config, "app/tally"), "7")
	})
}

// downAfter fails saves once its context has ended.
type downAfter struct {
	*durable.FileAdapter
	up context.Context
}

func (d downAfter) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if d.up.Err() != nil {
		return errors.New("connection refused")
	}
	return d.FileAdapter.SaveState(ctx, id, s)
}

func TestDoctorForetellsWhatTheNextStartMakesOfASpill(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	open := func(name string) *durable.FileAdapter {
		a, err := durable.NewFileAdapter(in(name), nil)
		require.NoError(t, err)
		t.Cleanup(func() { a.Close() })
		return a
	}
	config := func(name string) string {
		return yaml(t, "{adapter: file, directory: '"+in(name)+"', spill_directory: '"+in("spill")+"', system: app}")
	}
	up, down := context.WithCancel(ctx)
	a, s := open("a"), open("spill")
	cp := durable.New(downAfter{a, up}, &durable.Options{System: "app", Spill: s, CloseTimeout: time.Second})
	c := &durable.StatefulComponent[tally]{}
	require.NoError(t, cp.Register("tally", c))
	_, err := cp.Restore(ctx)
	require.NoError(t, err)
	down()
	c.Update(func(s *tally) { s.N = 7 })
	require.Error(t, cp.Close())
	require.NoError(t, open("b").SaveState(ctx, "app/other", &durable.Snapshot{Data: []byte(`{}`)}))

	_, found := findings(t, "-c", config("a"))
	require.Equal(t, "info", found["spill"]["severity"])
	require.Contains(t, found["spill"]["evidence"], "app/tally")
	r := fails(t, 3, "", "drill", "-c", config("a")) // the store has no state of it, and the next start has
	require.Regexp(t, `app/tally\s+spilled`, r.out)
	_, found = findings(t, "-c", config("b"))
	require.Equal(t, "warning", found["spill"]["severity"], "of another store")

	// The way out that the error of Restore names.
	backup := in("backup")
	ok(t, "export", "--directory", in("spill"), backup, "app/tally")
	ok(t, "import", backup, "-c", config("b"))
	ok(t, "delete", "--directory", in("spill"), "app/tally", "--yes")
	b := open("b")
	cp = durable.New(b, &durable.Options{System: "app", Spill: s})
	c = &durable.StatefulComponent[tally]{}
	require.NoError(t, cp.Register("tally", c))
	_, err = cp.Restore(ctx)
	require.NoError(t, err)
	c.View(func(s *tally) { require.Equal(t, 7, s.N) })
	require.NoError(t, cp.Close())

	require.NoError(t, s.SaveState(ctx, "app/tally", &durable.Snapshot{Data: []byte(`{"N":1}`)}))
	_, found = findings(t, "-c", config("a"))
	require.Equal(t, "error", found["spill"]["severity"], "nobody spilled it")
}
