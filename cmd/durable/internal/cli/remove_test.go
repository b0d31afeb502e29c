package cli_test

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
)

// members are the components in the set, by id, and the set.
func members(t *testing.T, p *place) (map[string]survey.Member, *durable.Snapshot) {
	t.Helper()
	whole, err := p.open(t).LoadState(ctx, "app/~set")
	require.NoError(t, err)
	list, err := survey.Members(whole.Data)
	require.NoError(t, err)
	m := map[string]survey.Member{}
	for _, x := range list {
		require.NoError(t, x.Err)
		m[x.ID] = x
	}
	return m, whole
}

// leftAlone is the program without its component right.
func (p *place) leftAlone(t *testing.T) (*durable.Checkpointer, *durable.StatefulComponent[tally], durable.Report) {
	cp := durable.New(p.open(t), &durable.Options{System: "app", Holder: "pod-0", Interval: time.Hour, Consistent: true, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { cp.Close() })
	var left durable.StatefulComponent[tally]
	require.NoError(t, cp.Register("left", &left))
	report, err := cp.Restore(ctx)
	require.NoError(t, err)
	return cp, &left, report
}

func TestAComponentIsRemovedFromTheSetOfARunningOwner(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		p.both(t) // it has older states of its own as well
		o := p.run(t, true)
		o.save(t, 40)
		fails(t, 5, "--yes", "delete", "-c", p.config, "app/right")
		o.save(t, 41) // nothing was changed, the owner goes on

		before, set := members(t, p)
		var told struct {
			ID, In, Effect string
			Version        uint64 `json:"set_version"`
			Deleted        bool
		}
		require.NoError(t, json.Unmarshal([]byte(ok(t, "delete", "-c", p.config, "--system", "app", "right", "--yes", "--json")), &told))
		require.Equal(t, [2]string{"app/right", "app/~set"}, [2]string{told.ID, told.In})
		require.True(t, told.Deleted)
		require.Contains(t, told.Effect, "starts fresh")

		after, without := members(t, p)
		require.Equal(t, before["left"].Raw, after["left"].Raw, "the others stay byte for byte")
		require.True(t, after["right"].Deleted)
		require.Len(t, after, 2)
		require.Equal(t, set.Version+1, without.Version)
		require.Equal(t, told.Version, without.Version)
		require.Greater(t, without.Epoch, set.Epoch)
		require.True(t, set.SavedAt.Equal(without.SavedAt), "the other states are as old as they were")
		_, err := p.open(t).LoadState(ctx, "app/right")
		require.ErrorIs(t, err, durable.ErrNotFound)

		require.NotContains(t, ok(t, "ls", "-c", p.config), "app/right")
		require.JSONEq(t, `{"N":41}`, ok(t, "show", "-c", p.config, "app/left", "--raw"))
		require.Contains(t, ok(t, "show", "-c", p.config, "app/~set"), "# right: removed")
		ok(t, "verify", "-c", p.config)
		require.Contains(t, ok(t, "drill", "-c", p.config), "1 of 1 component restored")
		fails(t, 4, "was removed from app/~set", "show", "-c", p.config, "app/right")
		fails(t, 4, `was removed from "app/~set"`, "delete", "-c", p.config, "app/right", "--yes")

		o.set(50)
		require.ErrorIs(t, o.cp.Checkpoint(ctx), durable.ErrFenced)
		_, err = o.cp.Restore(ctx)
		require.NoError(t, err)
		l, r := o.values()
		require.Equal(t, [2]int{41, 0}, [2]int{l, r})
		o.save(t, 51)
		require.NoError(t, o.cp.Close())
		p.requireRestored(t, 51, 51)
	})
}

func TestAProgramCarriesOnWithoutARemovedComponent(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		p.both(t)
		ok(t, "delete", "-c", p.config, "app/right", "--yes")
		_, removed := members(t, p)
		for n := range 2 { // the second start carries what the first one wrote
			cp, left, report := p.leftAlone(t)
			require.Empty(t, report.Unregistered)
			require.NoError(t, left.Commit(ctx, func(s *tally) { s.N += 5 + n }))
			require.NoError(t, cp.Close())
		}
		_, saved := members(t, p)
		require.Greater(t, saved.Version, removed.Version)
		moved := filePlace(t)
		ok(t, "copy", "--from", p.config, "--to", moved.config)
		moved.requireRestored(t, 41, 0)
		p.requireRestored(t, 41, 0)
	})
}

// A program that was switched to sets, and has not saved one yet.
func TestAComponentWhoseOwnStateIsNewerIsDeletedByItself(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		o := p.run(t, true)
		o.save(t, 10)
		require.NoError(t, o.cp.Close())
		o = p.run(t, false)
		o.save(t, 20)
		require.NoError(t, o.cp.Close())
		o = p.run(t, true)
		before, set := members(t, p)
		require.Contains(t, ok(t, "delete", "-c", p.config, "app/right", "--yes"), "deleted; its fence is")
		after, same := members(t, p)
		require.Equal(t, before, after)
		require.Equal(t, set, same)
		o.set(30)
		require.ErrorIs(t, o.cp.Checkpoint(ctx), durable.ErrFenced, "it may save in the set from now on")
		p.copiedIfFiles(t).requireRestored(t, 20, 0)
		_, err := o.cp.Restore(ctx)
		require.NoError(t, err)
		l, r := o.values()
		require.Equal(t, [2]int{20, 0}, [2]int{l, r})
	})
}

func (p *place) copiedIfFiles(t *testing.T) *place {
	if p.dir != "" {
		return p.copied(t)
	}
	to := filePlace(t)
	ok(t, "copy", "--from", p.config, "--to", to.config)
	return to
}

func TestARemovalIsRefusedWhereItCouldHideOtherState(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		a := p.open(t)
		saveSet(t, a, "app/~set", 1, 5, "left", "right")
		save(t, a, "app/left", 2, 6, `{"N":6}`)
		before := p.picture(t)
		fails(t, 5, `"app/left" has version 6 by itself`, "delete", "-c", p.config, "app/right", "--yes")
		require.Equal(t, before, p.picture(t))
		ok(t, "rollback", "-c", p.config, "app/left", "6", "--yes", "--force")
		ok(t, "delete", "-c", p.config, "app/right", "--yes")
		require.Equal(t, "ok", row(t, p, "app/left")["verdict"])
	})
}

func TestNothingIsRemovedFromASetThatCannotBeReadToItsEnd(t *testing.T) {
	p := filePlace(t)
	a := p.open(t)
	saveSet(t, a, "app/~set", 1, 5, "left", "right")
	whole, err := a.LoadState(ctx, "app/~set")
	require.NoError(t, err)
	save(t, a, "app/~set", 1, 6, string(whole.Data[:len(whole.Data)-3]))
	before := p.picture(t)
	for _, id := range []string{"app/left", "app/right"} {
		fails(t, 3, "roll it back first", "delete", "-c", p.config, id, "--yes")
	}
	require.Equal(t, before, p.picture(t))
	ok(t, "rollback", "-c", p.config, "app/~set", "5", "--yes")
	ok(t, "delete", "-c", p.config, "app/right", "--yes")
}

func TestWhatIsStoredBesideASetThatNobodyCanReadIsDeletedByItself(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		s := &scene{t, p, p.open(t)}
		s.own(1, 5)
		s.set(2, 6)
		s.damage("app/~set", 6)
		require.Contains(t, ok(t, "delete", "-c", p.config, "app/left", "--yes"), "deleted; its fence is")
		_, err := s.a.LoadState(ctx, "app/left")
		require.ErrorIs(t, err, durable.ErrNotFound)
		_, err = s.a.LoadState(ctx, "app/~set")
		require.ErrorIs(t, err, durable.ErrCorrupt)
	})
}
