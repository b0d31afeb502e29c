package cli_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

func TestASetComesAlongWhole(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		p.both(t)
		file := filepath.Join(t.TempDir(), "backup")
		ok(t, "export", file, "-c", p.config)
		imported := filePlace(t)
		ok(t, "import", file, "-c", imported.config)
		requireSame(t, p.open(t), imported.open(t))

		middle, last := redisPlace(t), filePlace(t)
		ok(t, "copy", "--from", p.config, "--to", middle.config)
		ok(t, "copy", "--from", middle.config, "--to", last.config)
		requireSame(t, p.open(t), last.open(t))
		for _, to := range []*place{imported, middle, last} {
			require.Contains(t, ok(t, "drill", "-c", to.config), "2 of 2 components restored")
			to.requireRestored(t, 30, 30)
		}

		fails(t, 5, "belong together", "export", file, "app/left", "-c", p.config, "--force")
		fails(t, 5, "belong together", "copy", "--from", p.config, "--to", filePlace(t).config, "app/~set")
		ok(t, "copy", "--from", p.config, "--to", filePlace(t).config, "app/~set", "app/left", "app/right")
	})
}

func TestABackupOfASetReplacesWhatCameAfterIt(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		p.both(t)
		file := filepath.Join(t.TempDir(), "backup")
		ok(t, "export", file, "-c", p.config)
		o := p.run(t, true)
		o.save(t, 40)
		require.NoError(t, o.cp.Close())
		fails(t, 5, "--force", "import", file, "-c", p.config)
		require.JSONEq(t, `{"N":40}`, ok(t, "show", "-c", p.config, "app/left", "--raw"))
		ok(t, "import", file, "-c", p.config, "--force")
		require.JSONEq(t, `{"N":30}`, ok(t, "show", "-c", p.config, "app/left", "--raw"))
		p.requireRestored(t, 30, 30)
	})
}

func TestABackupOfComponentsReplacesWhatCameAfterItBesideALeftOverSet(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		o := p.run(t, true)
		o.save(t, 10)
		require.NoError(t, o.cp.Close())
		o = p.run(t, false)
		o.save(t, 20)
		require.NoError(t, o.cp.Close())
		file := filepath.Join(t.TempDir(), "backup")
		ok(t, "export", file, "-c", p.config)
		o = p.run(t, false)
		o.save(t, 30)
		require.NoError(t, o.cp.Close())
		ok(t, "import", file, "-c", p.config, "--force")
		p.requireRestored(t, 20, 20)

		o = p.run(t, true) // the set is newer now, and the backup says that it is older
		o.save(t, 40)
		require.NoError(t, o.cp.Close())
		fails(t, 5, "in another place", "import", file, "-c", p.config, "--force")
		p.requireRestored(t, 40, 40)
	})
}

func TestAMemberIsNotMovedWithoutItsSet(t *testing.T) {
	p := filePlace(t)
	o := p.run(t, true)
	o.save(t, 10)
	require.NoError(t, o.cp.Close())
	require.Contains(t, ok(t, "__complete", "-c", p.config, "--system", "app", "show", ""), "~set\nleft\nright\n")
	for _, args := range [][]string{{"export", filepath.Join(t.TempDir(), "x"), "app/left"}, {"verify", "app/left"}, {"delete", "app/left", "--own", "--yes"}} {
		fails(t, 5, `saved as a part of "app/~set"`, append(args, "-c", p.config)...)
	}
	fails(t, 5, `saved as a part of "app/~set"`, "copy", "--from", p.config, "--to", filePlace(t).config, "app/left")
}

func TestADeletedSetStaysDeletedInACopy(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		p.both(t)
		ok(t, "delete", "-c", p.config, "app/~set", "--yes")
		file := filepath.Join(t.TempDir(), "backup")
		require.Contains(t, ok(t, "export", file, "-c", p.config), "1 component was deleted")
		imported, copied := redisPlace(t), filePlace(t)
		ok(t, "import", file, "-c", imported.config)
		ok(t, "copy", "--from", p.config, "--to", copied.config)
		for _, to := range []*place{imported, copied} {
			require.Equal(t, fence(t, p.open(t), "app/~set"), fence(t, to.open(t), "app/~set"))
			to.requireRestored(t, 0, 0)
		}
		p.requireRestored(t, 0, 0)
	})
}

func TestAStateInAnotherPlaceOfTheTargetIsNotMixedIn(t *testing.T) {
	everywhere(t, func(t *testing.T, to *place) {
		from := filePlace(t)
		o := from.run(t, true)
		o.save(t, 10)
		require.NoError(t, o.cp.Close())
		o = to.run(t, false)
		o.save(t, 77)
		require.NoError(t, o.cp.Close())
		before := to.open(t)
		for _, force := range [][]string{nil, {"--force"}} {
			r := fails(t, 5, "in another place", append([]string{"copy", "--from", from.config, "--to", to.config}, force...)...)
			require.Contains(t, r.err, "empty store")
		}
		_, err := before.LoadState(ctx, "app/~set")
		require.ErrorIs(t, err, durable.ErrNotFound)
		to.requireRestored(t, 77, 77)

		back := redisPlace(t)
		o = back.run(t, true)
		o.save(t, 5)
		require.NoError(t, o.cp.Close())
		fails(t, 5, "in another place", "copy", "--from", to.config, "--to", back.config, "--force")
		back.requireRestored(t, 5, 5)
	})
}
