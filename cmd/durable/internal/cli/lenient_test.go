package cli_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The operator's machine is not the program's pod: variables are not set there.
func TestVariablesThatOnlyTheProgramNeedsMayBeUnset(t *testing.T) {
	p := filePlace(t)
	a := p.open(t)
	fill(t, a, 1, 2, "fraud/c", "fraud/pod-0/d", "fraud/pod-1/d", "other/x")
	l, err := a.AcquireLease(ctx, "fraud/pod-1", "pod-1", time.Hour)
	require.NoError(t, err)
	require.NoError(t, a.Close())
	block := fmt.Sprintf("adapter: file\n  directory: %s\n  system: fraud\n  ", p.dir)
	back := 1 // version to go back to
	for _, extra := range []string{"holder: ${UNSET_POD_NAME}", "spill_directory: ${UNSET_SPILL}/x", "snapshot_interval: ${UNSET_I:?set it}", "shutdown_timeout: ${UNSET_T}",
		"components: {c: {restore: \"${UNSET_R}\"}}", "holder: ${UNSET_POD_NAME}\n  lease_ttl: ${UNSET_L}"} {
		config := yaml(t, block+extra)
		for _, args := range [][]string{{"ls"}, {"show", "c"}, {"history", "c"}, {"verify"}, {"drill"}, {"doctor"}, {"rollback", "c", fmt.Sprint(back), "--yes"}, {"lease", "show"},
			{"export", filepath.Join(t.TempDir(), "f")}} {
			r := run(t, append(args, "-c", config)...)
			require.NotContains(t, r.err, "UNSET", "%v", args)
			require.Contains(t, []int{0, 3}, r.code, "%v: %s", args, r.err)
		}
		back++
		ok(t, "copy", "--from", config, "--to", filePlace(t).config)
	}
	replicas := yaml(t, block+"replica: ${UNSET_POD_NAME}\n  holder: ${UNSET_POD_NAME}")
	r := run(t, "ls", "-c", replicas)
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.err, "--replica")
	for _, id := range []string{"fraud/c", "fraud/pod-0/d", "fraud/pod-1/d"} {
		require.Contains(t, r.out, id)
	}
	require.NotContains(t, r.out, "other/x")
	one := ok(t, "ls", "-c", replicas, "--replica", "pod-1")
	require.Contains(t, one, "fraud/pod-1/d")
	require.NotContains(t, one, "pod-0")
	fails(t, 2, "which lease", "lease", "release", "--yes", "-c", replicas)
	ok(t, "lease", "release", "--yes", "-c", replicas, "--replica", "pod-1")
	a = p.open(t)
	l, err = a.LoadLease(ctx, l.Name)
	require.NoError(t, err)
	require.True(t, l.Released)
}

func TestVariablesThatSayWhereTheStateIsMustBeSet(t *testing.T) {
	p := filePlace(t)
	fill(t, p.open(t), 1, 1, "a/c")
	for _, block := range []string{"adapter: file\n  directory: ${UNSET_DIR}", "adapter: ${UNSET_ADAPTER}\n  directory: " + p.dir, "adapter: file\n  system: ${UNSET_SYSTEM}\n  directory: " + p.dir,
		"adapter: redis\n  redis_url: ${UNSET_URL}", "adapter: file\n  colour: red\n  directory: " + p.dir} {
		r := run(t, "ls", "-c", yaml(t, block))
		require.Equal(t, 2, r.code, "%s: %s", block, r.out)
		require.Regexp(t, `UNSET_|unknown key`, r.err)
	}
	ok(t, "ls", "--system", "a", "-c", yaml(t, "adapter: file\n  system: ${UNSET_SYSTEM}\n  replica: ${UNSET_REPLICA}\n  directory: "+p.dir))
}
