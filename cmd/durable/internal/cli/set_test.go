package cli_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
)

// pair is a program with two components that go together: the one has as many as
// the other.
type pair struct {
	cp    *durable.Checkpointer
	left  durable.StatefulComponent[tally]
	right durable.StatefulComponent[tally]
}

// starting is a program on the system app that was not restored yet. cut says
// whether it saves its components as one set.
func (p *place) starting(t testing.TB, cut bool) *pair {
	o := &pair{}
	o.cp = durable.New(p.open(t), &durable.Options{System: "app", Holder: "pod-0", Interval: time.Hour, Consistent: cut, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, o.cp.Register("left", &o.left))
	require.NoError(t, o.cp.Register("right", &o.right))
	t.Cleanup(func() { o.cp.Close() })
	return o
}

func (p *place) run(t testing.TB, cut bool) *pair {
	o := p.starting(t, cut)
	_, err := o.cp.Restore(ctx)
	require.NoError(t, err)
	return o
}

// save makes both n and saves them.
func (o *pair) save(t testing.TB, n int) {
	o.set(n)
	require.NoError(t, o.cp.Checkpoint(ctx))
}

func (o *pair) set(n int) {
	o.cp.Do(func() {
		o.left.Update(func(s *tally) { s.N = n })
		o.right.Update(func(s *tally) { s.N = n })
	})
}

func (o *pair) values() (left, right int) {
	o.left.View(func(s *tally) { left = s.N })
	o.right.View(func(s *tally) { right = s.N })
	return left, right
}

// requireRestored starts the program, in both ways to save, and says what it must
// find. Each start saves what it found in its own way.
func (p *place) requireRestored(t *testing.T, left, right int) {
	t.Helper()
	for _, cut := range []bool{true, false} {
		o := p.run(t, cut)
		l, r := o.values()
		require.Equal(t, [2]int{left, right}, [2]int{l, r}, "consistent: %v", cut)
		require.NoError(t, o.cp.Close())
	}
}

// versions lists what history says of a component, newest first.
func versions(t *testing.T, p *place, id string) (list []uint64) {
	t.Helper()
	for line := range strings.Lines(ok(t, "history", "-c", p.config, id, "--json")) {
		var g struct{ Version uint64 }
		require.NoError(t, json.Unmarshal([]byte(line), &g))
		list = append(list, g.Version)
	}
	return list
}

// row returns what ls says of a component.
func row(t *testing.T, p *place, id string) map[string]any {
	t.Helper()
	for line := range strings.Lines(ok(t, "ls", "-c", p.config, "--json")) {
		if r := object(t, line); r["id"] == id {
			return r
		}
	}
	t.Fatalf("%s is not listed", id)
	return nil
}

// both is a system that saved its components by themselves, as 1 and 2, and since
// then as one set, as 10, 20 and 30.
func (p *place) both(t *testing.T) {
	o := p.run(t, false)
	o.save(t, 1)
	o.save(t, 2)
	require.NoError(t, o.cp.Close())
	o = p.run(t, true)
	for _, n := range []int{10, 20, 30} {
		o.save(t, n)
	}
	require.NoError(t, o.cp.Close())
}

func TestComponentsOfASetAreShownAsARestartFindsThem(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		p.both(t)
		before := p.picture(t)
		set := row(t, p, "app/~set")
		left := row(t, p, "app/left")
		require.Equal(t, "app/~set", left["in"])
		require.Equal(t, set["version"], left["version"])
		require.Equal(t, set["saved_at"], left["saved_at"])
		require.NotZero(t, left["own_version"])
		require.Regexp(t, `(?m)^app/left .* ok +in the set; its own version \d+ is older$`, ok(t, "ls", "-c", p.config))
		require.Regexp(t, `(?m)^app/left .* in the set; its own version`, ok(t, "watch", "-c", p.config, "-n", "1"))
		require.Contains(t, run(t, "ls", "-c", p.config).err, "2 components, 1 set, ")

		out := ok(t, "show", "-c", p.config, "app/left")
		require.Contains(t, out, "stored     in app/~set")
		require.Contains(t, out, "is older, a restart does not take it")
		require.Contains(t, out, `"N": 30`)
		require.JSONEq(t, `{"N":30}`, ok(t, "show", "-c", p.config, "app/left", "--raw"))
		list := versions(t, p, "app/left")
		require.Len(t, list, 5, "three of the set and two by itself")
		require.Regexp(t, `(?m)ok +app/~set$`, ok(t, "history", "-c", p.config, "app/left"))
		require.Regexp(t, `(?m)ok +by itself$`, ok(t, "history", "-c", p.config, "app/left"))
		var all []string
		for _, v := range list {
			all = append(all, strings.TrimSpace(ok(t, "show", "-c", p.config, "app/left", "--raw", "--version", uitoa(v))))
		}
		require.Equal(t, []string{`{"N":30}`, `{"N":20}`, `{"N":10}`, `{"N":2}`, `{"N":1}`}, all)
		require.Equal(t, "~ N: 2 -> 30\n", ok(t, "diff", "-c", p.config, "app/left", uitoa(list[3]), uitoa(list[0])))
		require.Contains(t, ok(t, "diff", "-c", p.config, "app/~set", uitoa(list[1]), uitoa(list[0])), "~ right.N: 20 -> 30\n")
		fails(t, 4, "there are", "show", "-c", p.config, "app/left", "--version", "999")

		ok(t, "verify", "-c", p.config)
		require.Contains(t, ok(t, "drill", "-c", p.config), "2 of 2 components restored, 16 B")
		code, found := findings(t, "-c", p.config)
		if p.dir != "" {
			require.Zero(t, code, found)
		}
		require.Equal(t, "info", found["superseded"]["severity"])
		require.Equal(t, before, p.picture(t))
		p.requireRestored(t, 30, 30)
	})
}

func TestASetThatIsLeftOverIsShownAsOlder(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		o := p.run(t, true)
		o.save(t, 10)
		require.NoError(t, o.cp.Close())
		o = p.run(t, false)
		o.save(t, 11)
		require.NoError(t, o.cp.Close())
		require.Regexp(t, `(?m)^app/left .* by itself$`, ok(t, "ls", "-c", p.config))
		require.Regexp(t, `(?m)^app/~set .* older than what is stored of left, right by itself$`, ok(t, "ls", "-c", p.config))
		require.JSONEq(t, `{"N":11}`, ok(t, "show", "-c", p.config, "app/left", "--raw"))
		fails(t, 5, "have newer states of their own", "rollback", "-c", p.config, "app/~set", "1", "--yes", "--force")
		require.Contains(t, ok(t, "drill", "-c", p.config), "2 of 2 components restored")

		// One component goes back, and the other is not touched.
		ok(t, "rollback", "-c", p.config, "app/left", uitoa(versions(t, p, "app/left")[1]), "--yes")
		l, r := p.run(t, false).values()
		require.Equal(t, [2]int{10, 11}, [2]int{l, r})
	})
}

func TestASetIsRolledBackAsOne(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		p.both(t)
		o := p.run(t, true) // it lives
		o.save(t, 40)
		for _, id := range []string{"app/left", "app/right"} {
			fails(t, 5, `"app/~set"`, "rollback", "-c", p.config, id, uitoa(versions(t, p, id)[0]), "--yes", "--force")
		}
		o.save(t, 50) // a refusal disturbs nobody
		list := versions(t, p, "app/~set")
		fails(t, 5, "--yes", "rollback", "-c", p.config, "app/~set", uitoa(list[2]))
		ok(t, "rollback", "-c", p.config, "app/~set", uitoa(list[2]), "--yes")
		require.JSONEq(t, `{"N":30}`, ok(t, "show", "-c", p.config, "app/left", "--raw"))

		o.set(60)
		require.ErrorIs(t, o.cp.Checkpoint(ctx), durable.ErrFenced)
		_, err := o.cp.Restore(ctx)
		require.NoError(t, err)
		l, r := o.values()
		require.Equal(t, [2]int{30, 30}, [2]int{l, r})
		o.save(t, 31)
		require.NoError(t, o.cp.Close())
		p.requireRestored(t, 31, 31)
	})
}

// The set is from before the components were saved by themselves, and is rolled
// back over them after another set.
func TestARolledBackSetIsNewerThanStatesFromInBetween(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		for _, step := range []struct {
			cut bool
			n   int
		}{{true, 10}, {false, 20}, {true, 30}} {
			o := p.run(t, step.cut)
			o.save(t, step.n)
			require.NoError(t, o.cp.Close())
		}
		list := versions(t, p, "app/~set")
		ok(t, "rollback", "-c", p.config, "app/~set", uitoa(list[len(list)-1]), "--yes")
		require.JSONEq(t, `{"N":10}`, ok(t, "show", "-c", p.config, "app/left", "--raw"))
		p.requireRestored(t, 10, 10)
	})
}

func TestARollbackFencesAnOwnerThatSavesInTheOtherPlace(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		o := p.run(t, false)
		o.save(t, 1)
		o.save(t, 2)
		require.NoError(t, o.cp.Close())
		o = p.run(t, true) // restored, and not saved yet
		ok(t, "rollback", "-c", p.config, "app/left", "1", "--yes")
		o.set(3)
		require.ErrorIs(t, o.cp.Checkpoint(ctx), durable.ErrFenced)
		_, err := o.cp.Restore(ctx)
		require.NoError(t, err)
		l, r := o.values()
		require.Equal(t, [2]int{1, 2}, [2]int{l, r})
		o.save(t, 4)
		require.NoError(t, o.cp.Close())

		o = p.run(t, false) // and the other way round
		ok(t, "rollback", "-c", p.config, "app/~set", uitoa(versions(t, p, "app/~set")[0]), "--yes", "--force")
		o.set(5)
		require.ErrorIs(t, o.cp.Checkpoint(ctx), durable.ErrFenced)
		_, err = o.cp.Restore(ctx)
		require.NoError(t, err)
		l, r = o.values()
		require.Equal(t, [2]int{4, 4}, [2]int{l, r})
	})
}

func TestADeletionSaysWhatARestartThenTakes(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		p.both(t)
		require.Contains(t, ok(t, "delete", "-c", p.config, "app/left", "--own", "--yes"), `nothing else changes: version`)
		require.JSONEq(t, `{"N":30}`, ok(t, "show", "-c", p.config, "app/left", "--raw"))
		fails(t, 5, `"app/~set"`, "delete", "-c", p.config, "app/left", "--own", "--yes")
		require.Contains(t, ok(t, "drill", "-c", p.config), "2 of 2 components restored")

		require.Contains(t, ok(t, "delete", "-c", p.config, "app/~set", "--yes"), "starts all of its components fresh")
		fails(t, 4, "was deleted after", "show", "-c", p.config, "app/right")
		require.Equal(t, "missing", row(t, p, "app/right")["verdict"])
		fails(t, 3, "would not come back", "drill", "-c", p.config)
		_, found := findings(t, "-c", p.config)
		require.Equal(t, "warning", found["superseded"]["severity"])

		// What is left of right can be brought back all the same.
		list := versions(t, p, "app/right")
		ok(t, "rollback", "-c", p.config, "app/right", uitoa(list[0]), "--yes", "--force")
		p.requireRestored(t, 0, 2)
	})
}

// What a delete leaves that ended before it deleted what is stored of the component
// by itself.
func TestARemovedComponentIsNotMissed(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		p.both(t)
		a := p.open(t)
		whole, err := a.LoadState(ctx, "app/~set")
		require.NoError(t, err)
		whole.Version, whole.WriteID = whole.Version+1, "without"
		whole.Data, err = survey.Without(whole.Data, "left", survey.Fence{Epoch: whole.Epoch, Version: whole.Version})
		require.NoError(t, err)
		require.NoError(t, a.SaveState(ctx, "app/~set", whole))

		require.Equal(t, "removed", row(t, p, "app/left")["verdict"])
		require.NotContains(t, run(t, "ls", "-c", p.config).err, "not sound")
		ok(t, "verify", "-c", p.config)
		require.Contains(t, ok(t, "drill", "-c", p.config), "1 of 1 component restored")
		fails(t, 4, "was removed from app/~set", "show", "-c", p.config, "app/left")
		_, found := findings(t, "-c", p.config)
		require.Equal(t, "info", found["superseded"]["severity"])
		copied := filePlace(t)
		ok(t, "copy", "--from", p.config, "--to", copied.config)
		copied.requireRestored(t, 0, 30)

		// The set is rolled back over the removal, and over its leftover.
		ok(t, "rollback", "-c", p.config, "app/~set", uitoa(versions(t, p, "app/~set")[1]), "--yes")
		require.JSONEq(t, `{"N":30}`, ok(t, "show", "-c", p.config, "app/left", "--raw"))
		p.requireRestored(t, 30, 30)
	})
}

func TestDamageOfASetIsToldOfEachComponent(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		a := p.open(t)
		saveSet(t, a, "app/~set", 1, 1, "left", "right")
		whole, err := a.LoadState(ctx, "app/~set")
		require.NoError(t, err)
		save(t, a, "app/~set", 1, 2, string(whole.Data[:len(whole.Data)-3]))
		require.Equal(t, "corrupt", row(t, p, "app/~set")["verdict"])
		fails(t, 3, "1 component is not sound", "verify", "-c", p.config)
		r := fails(t, 3, "would not come back", "drill", "-c", p.config)
		require.Contains(t, r.out, "app/~set")
		o := p.starting(t, true)
		report, err := o.cp.Restore(ctx)
		require.Error(t, err)
		right, _ := report.Component("right")
		require.Equal(t, durable.Corrupt, right.Outcome)
	})
}
