package recovery_test

import (
	"context"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestP3_EveryAnswerOfAStoreIsAnOutcomeOfItsOwn(t *testing.T) {
	answers := map[durable.Outcome]error{
		durable.FirstBoot: durable.ErrNotFound, durable.Expired: durable.ErrExpired, durable.Lost: durable.ErrLost,
		durable.Corrupt: durable.ErrCorrupt, durable.TooNew: durable.ErrTooNew, durable.Unreachable: testkit.ErrDown,
	}
	starts := map[durable.RestorePolicy]map[durable.Outcome]bool{
		"":                        {durable.FirstBoot: true, durable.Expired: true},
		durable.FreshIfAbsent:     {durable.FirstBoot: true, durable.Expired: true},
		durable.RestoreRequired:   {},
		durable.FreshIfUnreadable: {durable.FirstBoot: true, durable.Expired: true, durable.Lost: true, durable.Corrupt: true, durable.TooNew: true},
	}
	for policy, good := range starts {
		for outcome, answer := range answers {
			t.Run(fmt.Sprintf("%s/%s", policy, outcome), func(t *testing.T) {
				testkit.Bubble(t, func(t *testing.T) {
					a := testkit.NewFlaky()
					a.On("load", func(string) error { return answer })
					o := testkit.Quiet()
					o.Restore = policy
					h := testkit.Prepare(t, a, o)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					report, err := h.Restore(ctx)
					r, _ := report.Component("words")
					require.Equal(t, outcome, r.Outcome)
					if good[outcome] {
						require.NoError(t, err)
						require.NoError(t, h.Start())
					} else {
						require.ErrorIs(t, err, answer)
						require.ErrorIs(t, h.Start(), durable.ErrNotRestored)
					}
					require.NotErrorIs(t, err, fs.ErrNotExist)
					require.NoError(t, h.Close())
				})
			})
		}
	}
}

func TestP7_CorruptionCostsOneGenerationAndIsReported(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["a"] = 1 }))
		require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["a"] = 2 }))
		require.NoError(t, h.Close())
		testkit.Memory(t, a).Corrupt("words")

		j := &testkit.Journal{}
		h = testkit.Start(t, a, j.Options())
		require.Equal(t, durable.FellBack, h.Outcome(t))
		r, _ := h.Report.Component("words")
		require.Equal(t, []uint64{r.Version + 1}, r.Skipped)
		require.Equal(t, 1, h.Words.Count("a"))
		require.Contains(t, j.Text(), "restored an older generation")
		require.NoError(t, h.Words.Commit(t.Context(), func(*testkit.Counts) {}), "versions go on above the corrupt one")
		require.NoError(t, h.Close())
	})
}

func TestAPlainValueIsRestoredWithVersion0(t *testing.T) {
	s, err := durable.DecodeSnapshot("words", []byte(`{"Words":{"old":3}}`))
	require.NoError(t, err)
	require.Zero(t, s.Version)
	w := &testkit.WordCounter{}
	require.NoError(t, w.RestoreState(s.Data))
	require.Equal(t, 3, w.Count("old"))
}
