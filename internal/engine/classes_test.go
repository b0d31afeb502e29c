package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// errMissing is what waiting cannot cure.
var errMissing = fmt.Errorf("%w: the bucket does not exist; create it", durable.ErrPermanent)

func TestARestoreDoesNotWaitForWhatWaitingCannotCure(t *testing.T) {
	for _, op := range []string{"lease", "claim", "load"} {
		t.Run(op, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a := testkit.NewFlaky()
				a.On(op, func(string) error { return errMissing })
				h := testkit.Prepare(t, a, nil)
				begin := time.Now()
				_, err := h.Restore(t.Context())
				require.ErrorIs(t, err, durable.ErrPermanent)
				require.ErrorContains(t, err, "create it")
				require.Less(t, time.Since(begin), time.Second)
				a.Up(op)
				_, err = h.Restore(t.Context())
				require.NoError(t, err, "somebody has mended it")
				require.NoError(t, h.Close())
			})
		})
	}
}

func TestOneComponentsLastingErrorKeepsNoOtherFromRunning(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		a.On("claim", func(id string) error {
			if id == "other" {
				return errMissing
			}
			return nil
		})
		h := testkit.Prepare(t, a, nil)
		require.NoError(t, h.Register("other", new(testkit.WordCounter)))
		r, err := h.Restore(t.Context())
		require.ErrorIs(t, err, durable.ErrPermanent)
		require.ErrorContains(t, err, `"other"`)
		for _, c := range r.Results {
			require.Equal(t, c.ComponentID == "other", c.Outcome == durable.Unreachable, c.ComponentID)
		}
		h.Words.Add("hello")
		require.NoError(t, h.Words.CheckpointState(t.Context()))
		require.NoError(t, h.Close())
	})
}

func TestAStandbySaysWhomItWaitsFor(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, j := testkit.NewFlaky(), &testkit.Journal{}
		o := testkit.Quiet()
		o.Holder = "pod-0"
		owner := testkit.Start(t, a, o)
		standby := testkit.Prepare(t, testkit.FlakyOn(a.MemoryAdapter), j.Options())
		go func() {
			time.Sleep(time.Second)
			require.Zero(t, j.LineCount("level=WARN"), "a hand-over takes a moment")
			require.Equal(t, 1, j.LineCount("lease of another holder"))
			time.Sleep(4 * time.Second)
			require.Equal(t, 1, j.LineCount("level=WARN"), j.Text())
			require.Contains(t, j.Text(), "pod-0")
			time.Sleep(2 * time.Hour)
			require.Equal(t, 1, j.LineCount("level=WARN"), "a standby is in order")
			require.Less(t, j.LineCount("lease of another holder"), 20)
			require.NoError(t, owner.Close())
		}()
		_, err := standby.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, standby.Close())
	})
}

// below does everything and confirms nothing as durably as configured.
type below struct {
	*testkit.Flaky
	terse bool // it returns no lease beside an error
}

func short(err error) error {
	if err == nil {
		return fmt.Errorf("%w: 0 of 1 replicas", durable.ErrNotDurable)
	}
	return err
}

func (b below) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	return short(b.Flaky.SaveState(ctx, id, s))
}

func (b below) DeleteState(ctx context.Context, id string) error {
	return short(b.Flaky.DeleteState(ctx, id))
}

func (b below) ClaimState(ctx context.Context, id string, epoch uint64) error {
	return short(b.Flaky.ClaimState(ctx, id, epoch))
}

func (b below) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	l, err := b.Flaky.AcquireLease(ctx, name, holder, ttl)
	if b.terse {
		l = nil
	}
	return l, short(err)
}

func (b below) RenewLease(ctx context.Context, l *durable.Lease) error {
	return short(b.Flaky.RenewLease(ctx, l))
}

func (b below) ReleaseLease(ctx context.Context, l *durable.Lease) error {
	return short(b.Flaky.ReleaseLease(ctx, l))
}

func TestWhatIsBelowTheLevelKeepsNobodyFromStarting(t *testing.T) {
	for name, terse := range map[string]bool{"with the lease": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, j := testkit.NewFlaky(), &testkit.Journal{}
				o := j.Options()
				o.MaxCrashRestarts, o.Holder = 3, "pod-0"
				h := testkit.Prepare(t, below{a, terse}, o)
				begin := time.Now()
				_, err := h.Restore(t.Context())
				require.NoError(t, err)
				require.Less(t, time.Since(begin), time.Second)
				require.NoError(t, h.Start())
				require.Equal(t, 1, j.LineCount("below the configured durability; components go on"), j.Text())
				h.Words.Add("hello")
				require.ErrorIs(t, h.Words.CheckpointState(t.Context()), durable.ErrNotDurable)
				time.Sleep(time.Hour)
				require.NotContains(t, j.Text(), "another owner has taken")
				require.NotContains(t, j.Text(), "cannot be saved or read")
				begin = time.Now()
				require.ErrorIs(t, h.Close(), durable.ErrNotDurable)
				require.Less(t, time.Since(begin), 5*time.Second, "a replica that is missing is not waited for")
				l, err := a.LoadLease(t.Context(), "")
				require.NoError(t, err)
				testkit.RequireGivenUp(t, l)

				next := testkit.Start(t, a, o) // the replica is back
				require.Equal(t, 1, next.Words.Count("hello"))
				require.NoError(t, next.Close())
			})
		})
	}
}

func TestAStateThatCannotBeEncodedDoesNotHoldAHandOverUp(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Prepare(t, a, nil)
		bad := durable.NewStatefulComponent(1.0)
		require.NoError(t, h.Register("bad", bad))
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		bad.Update(func(f *float64) { *f = math.NaN() })
		h.Words.Add("hello")
		begin := time.Now()
		var unsaved *durable.CloseError
		require.ErrorAs(t, h.Close(), &unsaved)
		require.Less(t, time.Since(begin), 5*time.Second)
		require.Len(t, unsaved.Unsaved, 1)
		l, err := a.LoadLease(t.Context(), "")
		require.NoError(t, err)
		testkit.RequireGivenUp(t, l)
	})
}

// TestWhatAComponentAnswersIsNoAnswerOfTheStore has a component that keeps a store of
// its own, and gives the errors of that.
func TestWhatAComponentAnswersIsNoAnswerOfTheStore(t *testing.T) {
	inner := []error{durable.ErrFenced, durable.ErrConflict, durable.ErrNotDurable, durable.ErrLost, durable.ErrClosed, durable.ErrPermanent, context.Canceled}
	for _, consistent := range []bool{false, true} {
		for _, ttl := range []time.Duration{0, -1} {
			for _, e := range inner {
				t.Run(fmt.Sprint(consistent, ttl, e), func(t *testing.T) {
					testkit.Bubble(t, func(t *testing.T) {
						a, j := testkit.NewFlaky(), &testkit.Journal{}
						o := j.Options()
						o.Consistent, o.LeaseTTL = consistent, ttl
						h := testkit.Prepare(t, a, o)
						c := &testkit.Broken{}
						require.NoError(t, h.Register("inner", c))
						_, err := h.Restore(t.Context())
						require.NoError(t, err)
						c.Err = fmt.Errorf("the store inside: %w", e)
						h.Words.Add("hello")
						require.ErrorIs(t, h.Checkpoint(t.Context()), e)
						require.NotContains(t, j.Text(), "another owner")
						require.Equal(t, 1, j.LineCount("does not give its state"), j.Text())
						c.Err = nil
						require.NoError(t, h.Checkpoint(t.Context()), "it is tried again")
						h.Words.Add("hello")
						c.Err = fmt.Errorf("the store inside: %w", e)
						begin := time.Now()
						require.ErrorIs(t, h.Close(), e)
						require.Less(t, time.Since(begin), 5*time.Second)
					})
				})
			}
		}
	}
}

func TestWhatTheStoreDoesNotTakeHidesNoOutage(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, j := testkit.NewFlaky(), &testkit.Journal{}
		tooLarge := func(id string) error {
			if id == "large" {
				return fmt.Errorf("%w: 2 bytes, the limit is 1", durable.ErrTooLarge)
			}
			return nil
		}
		a.On("save", tooLarge)
		h := testkit.Prepare(t, a, j.Options())
		large := new(testkit.WordCounter)
		require.NoError(t, h.Register("large", large))
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, h.Start())
		large.Add("x")
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.LineCount("does not take a state"), j.Text())
		require.Zero(t, j.LineCount("cannot be saved or read"))
		require.ErrorIs(t, h.Health(), durable.ErrTooLarge)
		a.On("save", func(id string) error { return errors.Join(tooLarge(id), testkit.ErrDown) })
		h.Words.Add("x")
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.LineCount("cannot be saved or read"))
		a.On("save", tooLarge)
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.LineCount("can be saved and read again"))
		a.Up("save")
		time.Sleep(time.Hour)
		require.Equal(t, 1, j.LineCount("takes every state again"))
		require.NoError(t, h.Health())
		require.NoError(t, h.Close())
	})
}

func TestCredentialsThatAreMendedAreTriedAgain(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := testkit.NewFlaky()
		h := testkit.Start(t, a, nil)
		require.NoError(t, h.Start())
		refused := func(string) error { return errMissing }
		a.On("save", refused)
		a.On("renew", refused)
		h.Words.Add("hello")
		time.Sleep(2 * time.Minute)
		require.ErrorIs(t, h.Health(), durable.ErrPermanent)
		a.Up("save", "renew")
		time.Sleep(time.Hour)
		require.NoError(t, h.Health())
		a.On("save", refused)
		h.Words.Add("hello")
		begin := time.Now()
		require.ErrorIs(t, h.Close(), durable.ErrPermanent)
		require.Less(t, time.Since(begin), time.Second, "and Close does not try what will not change")
	})
}
