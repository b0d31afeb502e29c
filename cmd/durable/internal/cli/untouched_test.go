package cli_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redistest"
)

// rotOlder damages a generation of a component in Redis that is not the newest.
func rotOlder(t *testing.T, p *place, id, version string) {
	c := redistest.Shared(t).Client(t)
	key := "{" + p.prefix + id + "}:g:" + version
	v, err := c.Get(ctx, key).Result()
	require.NoError(t, err)
	require.NoError(t, c.Set(ctx, key, v[:len(v)-3]+"###", 0).Err())
}

func TestACopyLeavesADamagedSourceAsItIs(t *testing.T) {
	from, to := redisPlace(t), filePlace(t)
	fill(t, from.open(t), 1, 3, "app/c")
	rotOlder(t, from, "app/c", "2")
	before := from.picture(t)
	fails(t, 3, "not come along whole", "copy", "--from", from.config, "--to", to.config)
	require.Equal(t, before, from.picture(t))
}

func TestADryRunLeavesADamagedTargetAsItIs(t *testing.T) {
	from, to := filePlace(t), redisPlace(t)
	fill(t, from.open(t), 1, 5, "app/c")
	fill(t, to.open(t), 1, 3, "app/c")
	to.rot(t, "app/c", 3)
	rotOlder(t, to, "app/c", "2")
	before := to.picture(t)
	run(t, "copy", "--from", from.config, "--to", to.config, "--dry-run")
	require.Equal(t, before, to.picture(t))
}

func TestAURLInTheWrongPlaceShowsNoPassword(t *testing.T) {
	for _, password := range []string{"s3c/r3t", "s3c r3t", "s3c@r3t", "s3c#r3t", "s3c%zzr3t"} {
		url := "redis://user:" + password + "@127.0.0.1:1/0"
		for _, args := range [][]string{{url}, {"ls", "--directory", url}, {"ls", "-c", url}, {"copy", "--from", url, "--to", url}} {
			r := run(t, args...)
			require.NotZero(t, r.code)
			require.NotContains(t, r.out+r.err, "r3t", args)
		}
	}
}
