package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

// requireSame compares two stores generation by generation: numbers, epochs,
// formats, bytes and fences.
func requireSame(t *testing.T, a, b adapter) (components, generations int) {
	t.Helper()
	for id, err := range a.ListComponents(ctx) {
		require.NoError(t, err)
		components++
		x, err := a.ListSnapshots(ctx, id)
		require.NoError(t, err)
		y, err := b.ListSnapshots(ctx, id)
		require.NoError(t, err, id)
		require.Len(t, y, len(x), id)
		for i := range x {
			generations++
			require.Equal(t, x[i].Version, y[i].Version)
			s1, err := a.LoadSnapshot(ctx, id, x[i].Version)
			require.NoError(t, err)
			s2, err := b.LoadSnapshot(ctx, id, y[i].Version)
			require.NoError(t, err)
			if !bytes.Equal(s1.Data, s2.Data) || s1.Epoch != s2.Epoch || s1.Codec != s2.Codec || s1.Schema != s2.Schema ||
				!s1.SavedAt.Equal(s2.SavedAt) || s1.WriteID != s2.WriteID || s1.LastVersion != s2.LastVersion {
				t.Fatalf("%q version %d differs", id, x[i].Version)
			}
		}
		require.Equal(t, fence(t, a, id), fence(t, b, id))
	}
	return components, generations
}

func fence(t *testing.T, a adapter, id string) [2]uint64 {
	var e *durable.Error
	_, err := a.LoadSnapshot(ctx, id, 1<<63)
	require.ErrorAs(t, err, &e)
	return [2]uint64{e.Epoch, e.Version}
}

func TestCopyFromFileToRedisAndBack(t *testing.T) {
	n := 60
	if os.Getenv("DURABLE_LARGE") == "1" {
		n = 10_000
	}
	first, middle, last := filePlace(t), redisPlace(t), filePlace(t)
	a := first.open(t)
	fillMany(t, a, n, 3)
	require.NoError(t, a.ClaimState(ctx, "app/c000001", 500)) // a fence above what was saved
	save(t, a, "plain", 3, 1, "\x00not JSON\xff")

	start := time.Now()
	out := ok(t, "copy", "--from", first.config, "--to", middle.config, "--dry-run")
	require.Contains(t, out, fmt.Sprintf("%d components would be copied", n+1))
	require.Empty(t, middle.picture(t))
	out = ok(t, "copy", "--from", first.config, "--to", middle.config)
	require.Contains(t, out, fmt.Sprintf("%d generations written", 3*n+1))
	require.Contains(t, out, fmt.Sprintf("%d read back and equal", 3*n+1))
	there := time.Since(start)
	ok(t, "copy", "--from", middle.config, "--to", last.config, "--dry-run")
	require.NoDirExists(t, last.dir)
	start = time.Now()
	ok(t, "copy", "--from", middle.config, "--to", last.config)
	back := time.Since(start)

	components, generations := requireSame(t, first.open(t), middle.open(t))
	require.Equal(t, n+1, components)
	require.Equal(t, 3*n+1, generations)
	requireSame(t, first.open(t), last.open(t))
	t.Logf("%d components, %d generations: file to Redis %v, Redis to file %v", components, generations, there.Round(time.Millisecond), back.Round(time.Millisecond))

	out = ok(t, "copy", "--from", first.config, "--to", last.config)
	require.Contains(t, out, fmt.Sprintf("%d components there already", n+1), "the same copy again does nothing")
}

// fillMany saves n components with several generations each, many at a time.
func fillMany(t *testing.T, a adapter, n, versions int) {
	t.Helper()
	errs := make(chan error, 64)
	for w := range cap(errs) {
		go func() {
			var err error
			for i := w; i < n && err == nil; i += cap(errs) {
				id := fmt.Sprintf("app/c%06d", i)
				for v := 1; v <= versions && err == nil; v++ {
					data := fmt.Sprintf(`{"component":%d,"version":%d,"fill":%q}`, i, v, strings.Repeat("x", 100+i%100))
					err = a.SaveState(ctx, id, &durable.Snapshot{Epoch: uint64(10 + v), Version: uint64(v * 2), Codec: "json", Schema: v, Data: []byte(data)})
				}
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
}

func TestAnExportOfNothingDoesNotTakeThePlaceOfABackup(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		fill(t, p.open(t), 1, 2, "app/c")
		file := filepath.Join(t.TempDir(), "backup")
		ok(t, "export", file, "-c", p.config)
		before, err := os.ReadFile(file)
		require.NoError(t, err)
		fails(t, 4, "no components in", "export", file, "--force", "-c", p.config, "--system", "typo")
		fails(t, 4, "nothing was written", "export", "-", "-c", p.config, "--system", "typo")
		fails(t, 1, "the archive has no name", "export", "", "-c", p.config)
		after, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, before, after)
	})
}

func TestExportAndImport(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		a := p.open(t)
		fillMany(t, a, 40, 3)
		file := filepath.Join(t.TempDir(), "backup")
		out := object(t, ok(t, "export", file, "-c", p.config, "--json"))
		require.EqualValues(t, 40, out["components"])
		require.EqualValues(t, 120, out["generations"])
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

		fails(t, 5, "--force", "export", file, "-c", p.config)
		ok(t, "export", file, "-c", p.config, "--force")

		to := filePlace(t)
		ok(t, "import", file, "-c", to.config, "--dry-run")
		require.NoDirExists(t, to.dir)
		ok(t, "import", file, "-c", to.config)
		requireSame(t, a, to.open(t))
		require.Contains(t, ok(t, "import", file, "-c", to.config), "40 components there already")

		one := filePlace(t)
		ok(t, "export", file, "app/c000007", "-c", p.config, "--force")
		ok(t, "import", file, "-c", one.config)
		require.Contains(t, ok(t, "verify", "-c", one.config), "1 component, 3 generations")
	})
}

func TestOtherStateInTheTargetIsRefusedUnlessForced(t *testing.T) {
	everywhere(t, func(t *testing.T, to *place) {
		from := filePlace(t)
		fill(t, from.open(t), 7, 3, "app/tally", "app/free")
		o := to.start(t)
		o.commit(t, 42)
		before := to.open(t)
		newest, err := before.LoadState(ctx, "app/tally")
		require.NoError(t, err)

		fails(t, 5, "in use", "copy", "--from", from.config, "--to", to.config)
		r := fails(t, 5, "refused", "copy", "--from", from.config, "--to", to.config, "--dry-run")
		require.Contains(t, r.out, "1 component would be copied", "the other one")
		after, err := before.LoadState(ctx, "app/tally")
		require.NoError(t, err)
		require.Equal(t, newest, after)
		o.commit(t, 43) // and its owner was not disturbed

		ok(t, "copy", "--from", from.config, "--to", to.config, "--force")
		require.ErrorIs(t, o.Commit(ctx, func(s *tally) { s.N = 44 }), durable.ErrFenced)
		require.Contains(t, ok(t, "show", "app/tally", "--raw", "-c", to.config), `"version":3`)
	})
}

func TestAnInterruptedCopyIsCompletedByTheSameCommand(t *testing.T) {
	from, to := filePlace(t), redisPlace(t)
	a, b := from.open(t), to.open(t)
	fill(t, a, 7, 3, "app/c", "app/d")
	s, err := a.LoadSnapshot(ctx, "app/c", 1) // all that had come across
	require.NoError(t, err)
	require.NoError(t, b.SaveState(ctx, "app/c", s))
	out := ok(t, "copy", "--from", from.config, "--to", to.config)
	require.Contains(t, out, "5 generations written")
	requireSame(t, a, b)
}

func TestDeletedComponentsStayDeletedInACopy(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		a := p.open(t)
		fill(t, a, 7, 3, "app/kept", "app/deleted")
		require.NoError(t, a.DeleteState(ctx, "app/deleted"))
		require.NoError(t, a.ClaimState(ctx, "app/never", 9)) // an owner found nothing
		file := filepath.Join(t.TempDir(), "backup")
		out := ok(t, "export", file, "-c", p.config)
		require.Contains(t, out, "1 component was deleted: only the fence is in the archive")
		require.Contains(t, out, "2 components, 3 generations")

		imported, copied, named := filePlace(t), redisPlace(t), redisPlace(t)
		require.Contains(t, ok(t, "import", file, "-c", imported.config), "1 component without state: only the fence")
		require.Contains(t, ok(t, "copy", "--from", p.config, "--to", copied.config, "--dry-run"), "1 component would be without state")
		require.Empty(t, copied.picture(t))
		ok(t, "copy", "--from", p.config, "--to", copied.config)
		ok(t, "copy", "--from", p.config, "--to", named.config, "app/deleted")
		for _, to := range []*place{imported, copied, named} {
			b := to.open(t)
			require.Equal(t, [2]uint64{8, 3}, fence(t, b, "app/deleted"))
			err := b.SaveState(ctx, "app/deleted", &durable.Snapshot{Epoch: 7, Version: 4, Data: []byte("late")})
			require.ErrorIs(t, err, durable.ErrFenced)
			fails(t, 4, "was deleted", "show", "app/deleted", "-c", to.config)
			require.NotContains(t, ok(t, "ls", "-c", to.config), "app/deleted")
		}
		require.Contains(t, ok(t, "copy", "--from", p.config, "--to", copied.config), "2 components there already")
		fails(t, 4, "no component", "copy", "--from", p.config, "--to", copied.config, "app/none")
	})
}

func TestStateOfAComponentThatTheSourceDeletedIsNotDeletedUnasked(t *testing.T) {
	everywhere(t, func(t *testing.T, to *place) {
		from := filePlace(t)
		a, b := from.open(t), to.open(t)
		fill(t, a, 7, 3, "app/c")
		ok(t, "copy", "--from", from.config, "--to", to.config)
		require.NoError(t, a.DeleteState(ctx, "app/c"))
		fails(t, 5, "--force deletes it there", "copy", "--from", from.config, "--to", to.config)
		_, err := b.LoadState(ctx, "app/c")
		require.NoError(t, err)
		ok(t, "copy", "--from", from.config, "--to", to.config, "--force")
		_, err = b.LoadState(ctx, "app/c")
		require.ErrorIs(t, err, durable.ErrNotFound)
		require.Equal(t, fence(t, a, "app/c"), fence(t, b, "app/c"))
	})
}

func TestADeletionThatWasInterruptedIsCompletedByTheSameCommand(t *testing.T) {
	from, to := filePlace(t), redisPlace(t)
	a, b := from.open(t), to.open(t)
	fill(t, a, 7, 3, "app/c")
	require.NoError(t, a.DeleteState(ctx, "app/c"))
	// All that had come across is the version that is to be remembered.
	require.NoError(t, b.SaveState(ctx, "app/c", &durable.Snapshot{Epoch: 7, Version: 3, Codec: "deleted", Data: []byte{}}))
	ok(t, "copy", "--from", from.config, "--to", to.config)
	_, err := b.LoadState(ctx, "app/c")
	require.ErrorIs(t, err, durable.ErrNotFound)
	require.Equal(t, fence(t, a, "app/c"), fence(t, b, "app/c"))
}

func TestWhatIsDamagedIsSaidAndTheRestComesAlong(t *testing.T) {
	from, to := filePlace(t), filePlace(t)
	a := from.open(t)
	fill(t, a, 7, 3, "app/good", "app/bad")
	require.NoError(t, a.Close())
	from.rot(t, "app/bad", 3)
	file := filepath.Join(t.TempDir(), "backup")
	r := fails(t, 3, "not exported whole", "export", file, "-c", from.config)
	require.Contains(t, r.out, "app/bad")
	r = fails(t, 3, "did not come along whole", "import", file, "-c", to.config)
	require.Contains(t, r.out, "app/bad: fell-back, 1 generations")
	r = fails(t, 3, "did not come along whole", "copy", "--from", from.config, "--to", redisPlace(t).config)
	require.Contains(t, r.out, "not whole: app/bad")
	require.Contains(t, ok(t, "verify", "-c", to.config), "2 components, 5 generations")
}

func TestPlainValuesGetAVersionOnTheirWay(t *testing.T) {
	p, to := redisPlace(t), filePlace(t)
	c := sharedClient(t)
	require.NoError(t, c.Set(ctx, p.prefix+"app/plain", `{"from":"SETEX"}`, 0).Err())
	require.Contains(t, ok(t, "verify", "-c", p.config), "1 plain values cannot be verified")
	ok(t, "copy", "--from", p.config, "--to", to.config)
	require.Equal(t, `{"from":"SETEX"}`, ok(t, "show", "app/plain", "--raw", "-c", to.config))
	require.Contains(t, ok(t, "copy", "--from", p.config, "--to", to.config), "1 component there already")
}

func TestEveryCutAndEveryFlippedByteOfAnArchiveIsRefused(t *testing.T) {
	p := filePlace(t)
	fill(t, p.open(t), 7, 1, "app/a", "app/b")
	file := filepath.Join(t.TempDir(), "backup")
	ok(t, "export", file, "-c", p.config)
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	to := filePlace(t)
	bad := filepath.Join(t.TempDir(), "bad")
	try := func(b []byte, what string, at int) {
		require.NoError(t, os.WriteFile(bad, b, 0o600))
		r := run(t, "import", bad, "-c", to.config, "-q")
		require.Contains(t, []int{1, 3}, r.code, "%s at %d", what, at)
		require.Contains(t, r.err, "nothing was changed")
		require.NoDirExists(t, to.dir)
	}
	for i := range whole {
		try(whole[:i], "cut", i)
		flipped := slices.Clone(whole)
		flipped[i] ^= 0x20
		try(flipped, "flip", i)
	}
	try(append(slices.Clone(whole), 'x'), "something behind", len(whole))
	try([]byte(strings.Replace(string(whole), "DURABLE-ARCHIVE 1", "DURABLE-ARCHIVE 2", 1)), "newer", 0)
	fails(t, 3, "newer version", "import", bad, "-c", to.config)
	require.NoError(t, os.WriteFile(bad, []byte("state_persistence:\n"), 0o600))
	fails(t, 1, "no archive", "import", bad, "-c", to.config)
	fails(t, 1, "no such file", "import", bad+"x", "-c", to.config)
	fails(t, 1, "is a directory", "import", filepath.Dir(bad), "-c", to.config)
}
