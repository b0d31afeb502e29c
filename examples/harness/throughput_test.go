package main

import (
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

// TestThroughput compares the pipeline with a consistent cut every second with the
// same pipeline without checkpoints. It says what it measured and asserts nothing:
// the machine has other work.
func TestThroughput(t *testing.T) {
	if os.Getenv("DURABLE_THROUGHPUT") == "" {
		t.Skip("DURABLE_THROUGHPUT=1 measures the throughput of the pipeline")
	}
	const rounds, n = 7, 1_500_000
	var ratios []float64
	var longest time.Duration
	for range rounds {
		without := throughput(t, n, nil)
		with := throughput(t, n, &longest)
		ratios = append(ratios, with/without)
		t.Logf("without checkpoints %.0f/s, with %.0f/s", without, with)
	}
	slices.Sort(ratios)
	t.Logf("throughput with consistent cuts: median ratio %.3f (%.3f to %.3f); longest pause %s",
		ratios[rounds/2], ratios[0], ratios[rounds-1], longest)
}

func throughput(t *testing.T, n int64, longest *time.Duration) float64 {
	p := newPipeline(flags{seed: 7, max: n}, slog.New(slog.DiscardHandler))
	p.setup()
	if longest != nil {
		a, err := durable.NewFileAdapter(t.TempDir(), nil)
		require.NoError(t, err)
		cp := durable.New(a, &durable.Options{Consistent: true, Interval: time.Second, Logger: slog.New(slog.DiscardHandler),
			OnEvent: func(e durable.Event) { *longest = max(*longest, e.Pause) }})
		require.NoError(t, p.register(cp))
		_, err = cp.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, cp.Start())
		defer func() {
			require.NoError(t, cp.Close())
			require.NoError(t, a.Close())
		}()
	}
	begin := time.Now()
	p.process(t.Context())
	return float64(n) / time.Since(begin).Seconds()
}
