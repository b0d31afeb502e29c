package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// mayRun fails t unless exactly the named components of the report may run.
func mayRun(t *testing.T, r durable.Report, all int, ids ...string) {
	t.Helper()
	may := []string{}
	for _, res := range r.Results {
		if res.Err == nil {
			may = append(may, res.ComponentID)
		}
	}
	require.Len(t, r.Results, all)
	require.ElementsMatch(t, ids, may)
}

func TestAResultHasAnErrorExactlyWhenTheComponentMayNotRun(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for _, consistent := range []bool{false, true} {
			for _, policy := range []durable.RestorePolicy{durable.FreshIfAbsent, durable.RestoreRequired, durable.FreshIfUnreadable} {
				a := testkit.NewFlaky()
				o := testkit.Named("h", testkit.Quiet())
				o.Consistent, o.Restore = consistent, policy
				d := testkit.PrepareDuo(t, a, o)
				for _, answer := range []error{durable.ErrNotFound, durable.ErrExpired, durable.ErrLost, durable.ErrCorrupt, durable.ErrTooNew} {
					require.NoError(t, a.SaveState(t.Context(), "right", &durable.Snapshot{Data: []byte(`{"N":1}`)}))
					a.On("load", func(id string) error {
						if id == "left" {
							return answer
						}
						return nil
					})
					report, err := d.Restore(t.Context())
					switch {
					case err == nil:
						mayRun(t, report, 2, "left", "right")
					case consistent:
						mayRun(t, report, 2)
					default:
						mayRun(t, report, 2, "right")
					}
					for _, r := range report.Results {
						saved := d.Checkpoint(t.Context(), r.ComponentID)
						require.Equal(t, r.Err == nil, saved == nil, "%s %s %v: %v, %v", r.ComponentID, r.Outcome, policy, r.Err, saved)
					}
				}
				_ = d.Close()
			}
		}
	})
}

func TestARestoreThatFailsBeforeTheComponentsListsThemAll(t *testing.T) {
	for name, prepare := range map[string]func(a *testkit.Flaky, o *durable.Options, d *testkit.Duo){
		"lease held": func(a *testkit.Flaky, _ *durable.Options, _ *testkit.Duo) {
			_, _ = a.AcquireLease(context.Background(), "", "another", time.Hour)
		},
		"store down": func(a *testkit.Flaky, _ *durable.Options, _ *testkit.Duo) { a.Down("lease", "load", "claim") },
		"claims fail": func(a *testkit.Flaky, _ *durable.Options, _ *testkit.Duo) {
			a.On("claim", func(string) error { return durable.ErrFenced })
		},
		"closed": func(_ *testkit.Flaky, _ *durable.Options, d *testkit.Duo) { _ = d.Close() },
		"entry without component": func(_ *testkit.Flaky, o *durable.Options, _ *testkit.Duo) {
			o.Components = map[string]durable.ComponentOptions{"ghost": {Restore: durable.RestoreRequired}}
		},
		"crash loop": func(a *testkit.Flaky, o *durable.Options, _ *testkit.Duo) {
			o.MaxCrashRestarts = 1
			_ = a.SaveState(context.Background(), "~starts", &durable.Snapshot{Codec: "json", Data: []byte(`{"Starts":9}`)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, o := testkit.NewFlaky(), testkit.Quiet()
				var d testkit.Duo
				if name != "closed" {
					prepare(a, o, nil)
				}
				d = testkit.PrepareDuo(t, a, o)
				if name == "closed" {
					prepare(a, o, &d)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				report, err := d.Restore(ctx)
				require.Error(t, err)
				mayRun(t, report, 2)
				for _, r := range report.Results {
					require.Equal(t, durable.Unreachable, r.Outcome)
				}
				_ = d.Close()
			})
		})
	}
}

func TestAShutdownThatLeftSomethingUnsavedIsNotCalledClean(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		for _, spills := range []bool{false, true} {
			a := testkit.NewFlaky()
			h := testkit.Start(t, a, testkit.Named("first", testkit.Quiet()))
			require.NoError(t, h.Close())
			o := testkit.Named("second", testkit.Quiet())
			if spills {
				o.Spill = durable.NewMemoryAdapter(nil)
			}
			h = testkit.Start(t, a, o)
			require.True(t, h.Report.CleanShutdown)
			require.Equal(t, "first", h.Report.Predecessor)
			h.Words.Add("x")
			a.Down("save")
			require.Error(t, h.Close())
			a.Up("save")
			o.Holder = "third"
			begin := time.Now()
			h = testkit.Start(t, a, o)
			require.LessOrEqual(t, time.Since(begin), 2*time.Second, "the lease is given up all the same")
			require.False(t, h.Report.CleanShutdown)
			require.Equal(t, "second", h.Report.Predecessor)
			require.NoError(t, h.Close())
		}
	})
}

func TestAnotherRestoreTellsOfTheSamePredecessor(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		require.NoError(t, testkit.Start(t, a, testkit.Named("first", testkit.Quiet())).Close())
		h := testkit.Prepare(t, a, testkit.Named("second", testkit.Quiet()))
		a.On("claim", func(string) error { return durable.ErrTooLarge })
		for range 2 {
			report, err := h.Restore(t.Context())
			require.Error(t, err)
			require.Equal(t, "first", report.Predecessor)
			require.True(t, report.CleanShutdown)
		}
		a.Up("claim")
		report, err := h.Restore(t.Context())
		require.NoError(t, err)
		require.Equal(t, "first", report.Predecessor)
		require.True(t, report.CleanShutdown, "also when the first attempt to restore failed")
		require.NoError(t, h.Close())
	})
}

func TestAReportFindsItsComponentsAlsoWhenItWasChanged(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		d := testkit.StartDuo(t, durable.NewMemoryAdapter(nil), testkit.Quiet())
		r := d.Report
		find := func(id string, want bool) {
			t.Helper()
			res, ok := r.Component(id)
			require.Equal(t, want, ok, id)
			require.Equal(t, want, res.ComponentID == id)
		}
		find("left", true)
		find("neither", false)
		r.Results = append([]durable.RestoreResult{{ComponentID: "third"}}, r.Results[1:]...)
		find("left", false)
		find("right", true)
		find("third", true)
		r = durable.Report{Results: []durable.RestoreResult{{ComponentID: "only"}}}
		find("only", true)
		find("left", false)
		require.NoError(t, d.Close())
	})
}
