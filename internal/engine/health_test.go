package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestAnIntervalOfForEverIsHealthy(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		o := testkit.Quiet()
		o.Interval = 1 << 62 // 146 years
		h := testkit.Start(t, durable.NewMemoryAdapter(nil), o)
		time.Sleep(time.Hour)
		require.NoError(t, h.Health())
		require.NoError(t, h.Close())
	})
}
