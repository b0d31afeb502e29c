package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestWhatEndsARestoreSaysInWhatItEnded(t *testing.T) {
	for _, op := range []string{"lease", "claim", "load", "save"} {
		t.Run(op, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, o := testkit.NewFlaky(), testkit.Quiet()
				a.On(op, func(string) error { return errMissing })
				o.MaxCrashRestarts = 3
				h := testkit.Prepare(t, a, o)
				r, err := h.Restore(t.Context())
				require.ErrorIs(t, err, durable.ErrPermanent)
				var worded *durable.Error
				require.ErrorAs(t, err, &worded, "also where the adapter does not word its errors")
				require.ErrorAs(t, r.Results[0].Err, &worded)
				require.NoError(t, h.Close())
			})
		})
	}
}

func TestTheEndOfACallersContextIsNoOutage(t *testing.T) {
	for _, op := range []string{"lease", "claim", "load", "save"} {
		t.Run(op, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, j := testkit.NewFlaky(), &testkit.Journal{}
				ctx, cancel := context.WithCancel(t.Context())
				a.On(op, func(string) error { time.Sleep(time.Second); cancel(); return ctx.Err() })
				o := j.Options()
				o.MaxCrashRestarts = 3
				h := testkit.Prepare(t, a, o)
				_, err := h.Restore(ctx)
				require.ErrorIs(t, err, context.Canceled)
				require.Zero(t, j.LineCount("level=WARN"), j.Text())
				require.Zero(t, j.LineCount("waits for"), j.Text())
				a.Up(op)
				require.NoError(t, h.Close())
			})
		})
	}
}

func TestARestoreThatRunsOutOfTimeSaysWhatItWaitedFor(t *testing.T) {
	for _, op := range []string{"lease", "claim", "load", "save"} {
		t.Run(op, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, o := testkit.NewFlaky(), testkit.Quiet()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				begin := time.Now()
				a.On(op, func(string) error {
					if time.Since(begin) > 40*time.Second {
						<-ctx.Done()
						return ctx.Err()
					}
					return testkit.ErrDown
				})
				o.MaxCrashRestarts = 3
				h := testkit.Prepare(t, a, o)
				_, err := h.Restore(ctx)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, err, testkit.ErrDown)
				a.Up(op)
				require.NoError(t, h.Close())
			})
		})
	}
}

func TestAnErrorOfTheSpillNamesTheSpill(t *testing.T) {
	for _, lasting := range []bool{true, false} {
		t.Run(fmt.Sprint("lasting ", lasting), func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, spill, j := testkit.NewFlaky(), testkit.NewFlaky(), &testkit.Journal{}
				o := j.Options()
				o.Spill = spill
				h := testkit.Prepare(t, a, o)
				fail := func(op string) { spill.Down(op) }
				if lasting {
					fail = func(op string) { spill.On(op, func(string) error { return errMissing }) }
				}
				fail("load")
				begin := time.Now()
				time.AfterFunc(20*time.Second, func() { spill.Up("load") })
				_, err := h.Restore(t.Context())
				if lasting {
					require.Less(t, time.Since(begin), time.Second)
					require.ErrorIs(t, err, durable.ErrPermanent)
					require.ErrorContains(t, err, "spill")
					spill.Up("load")
					_, err = h.Restore(t.Context())
				} else {
					require.Contains(t, j.Text(), "spill", "who is waited for")
				}
				require.NoError(t, err)
				a.Down("save")
				fail("save")
				h.Words.Add("hello")
				err = h.Close()
				require.ErrorIs(t, err, testkit.ErrDown)
				require.ErrorContains(t, err, "durable: spill")
				require.NotContains(t, j.Text(), "was spilled")
			})
		})
	}
}

func TestARestoreDoesNotWaitInSilence(t *testing.T) {
	const says = "waits for the store"
	for _, how := range []string{"lease fails", "claim fails", "load fails", "save fails", "lease hangs", "claim hangs", "load hangs", "save hangs"} {
		t.Run(how, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, j := testkit.NewFlaky(), &testkit.Journal{}
				op, _, _ := strings.Cut(how, " ")
				a.Down(op)
				hang := sync.OnceFunc(func() { time.Sleep(9 * time.Second) })
				hangs := strings.HasSuffix(how, "hangs")
				if hangs {
					a.On(op, func(string) error { hang(); return nil })
				}
				o := j.Options()
				o.MaxCrashRestarts = 3
				h := testkit.Prepare(t, a, o)
				go func() {
					time.Sleep(5 * time.Second)
					require.Equal(t, 1, j.LineCount("level=WARN"), j.Text())
					require.Equal(t, 1, j.LineCount(says), j.Text())
					require.ErrorContains(t, h.Health(), "durable: ")
					require.False(t, errors.Is(h.Health(), durable.ErrNotRestored), "it says what is waited for")
					if !hangs {
						time.Sleep(time.Hour)
						a.Up(op)
					}
				}()
				_, err := h.Restore(t.Context())
				require.NoError(t, err)
				require.Less(t, j.LineCount(says), 9, "said rarely")
				require.Equal(t, 1, j.LineCount("need not wait any more"))
				require.NoError(t, h.Close())
			})
		})
	}
}
