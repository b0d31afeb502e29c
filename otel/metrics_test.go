package otel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/otel"
)

func TestALifeIsMeasuredFromRestoreToClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBench(t, otel.Options{}), newStore()
		cp, one, two := b.open(s, "pod-1"), &counter{}, &counter{}
		require.NoError(t, cp.Register("one", one))
		require.NoError(t, cp.Register("two", two))
		require.Equal(t, "not_restored", b.status())
		require.Equal(t, map[string]float64{"": 2}, b.points("durable.components"))

		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, cp.Start())
		require.Equal(t, "ready", b.status())
		require.Equal(t, map[string]float64{"": 2}, b.points("durable.restore.duration"))
		require.Equal(t, map[string]float64{"durable.lease.change=acquired": 1}, b.points("durable.lease.changes"))

		one.add()
		require.NoError(t, cp.Checkpoint(t.Context()))
		one.add()
		require.Equal(t, map[string]float64{"": 1}, b.points("durable.components.changed"))
		require.Equal(t, map[string]float64{"": float64(len(`{"n":1}`) + len(`{}`))}, b.points("durable.state.size"))
		require.Equal(t, map[string]float64{"durable.save.kind=save": 2}, b.points("durable.save.duration"))
		require.Equal(t, map[string]float64{"durable.save.kind=save": 2}, b.points("durable.save.size"))
		time.Sleep(10 * time.Minute)
		require.Greater(t, b.points("durable.save.duration")["durable.save.kind=skip"], 10.0)
		require.Equal(t, 3.0, b.points("durable.save.size")["durable.save.kind=save"], "what is only kept alive has no size")
		require.Less(t, b.points("durable.checkpoint.age")[""], 61.0)
		require.Greater(t, b.points("durable.lease.renewals")[""], 100.0)

		require.NoError(t, cp.Close())
		require.Equal(t, "closed", b.status())
		require.Equal(t, 1.0, b.points("durable.lease.changes")["durable.lease.change=released"])
	})
}

func TestAnOutageShowsInTheAgeInTheChangesAtRiskAndInTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBench(t, otel.Options{}), newStore()
		cp, c := b.open(s, "pod-1"), &counter{}
		require.NoError(t, cp.Register("c", c))
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, cp.Start())
		time.Sleep(2 * time.Minute)
		s.off.Store(true)
		c.add()
		time.Sleep(10 * time.Minute)
		require.Equal(t, "outage", b.status())
		require.Equal(t, map[string]float64{"": 1}, b.points("durable.components.failing"))
		require.Equal(t, map[string]float64{"": 1}, b.points("durable.components.changed"))
		age := b.points("durable.checkpoint.age")[""]
		require.InDelta(t, 10*60, age, 61)
		require.NotZero(t, b.points("durable.save.duration")["durable.save.kind=save,error.type=_OTHER"], b.points("durable.save.duration"))
		s.off.Store(false)
		time.Sleep(2 * time.Minute)
		require.Equal(t, "ready", b.status())
		require.Equal(t, map[string]float64{"": 0}, b.points("durable.components.failing"))
		require.Less(t, b.points("durable.checkpoint.age")[""], 61.0)
		require.NoError(t, cp.Close())
	})
}

func TestAChangeThatWasNeverSavedGrowsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBench(t, otel.Options{}), newStore()
		cp, c := b.open(s, "pod-1"), &counter{}
		require.NoError(t, cp.Register("c", c))
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		s.off.Store(true)
		c.add()
		time.Sleep(time.Hour)
		require.InDelta(t, 3600, b.points("durable.checkpoint.age")[""], 1)
		s.off.Store(false)
		require.NoError(t, cp.Close())
	})
}

func TestAStandbyAndWhoItSupersedesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, first, second := newStore(), newBench(t, otel.Options{}), newBench(t, otel.Options{})
		old, c := first.open(s, "pod-1"), &counter{}
		require.NoError(t, old.Register("c", c))
		_, err := old.Restore(t.Context())
		require.NoError(t, err)

		next := second.open(s, "pod-2")
		require.NoError(t, next.Register("c", &counter{}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = next.Restore(ctx)
		cancel()
		require.ErrorIs(t, err, durable.ErrLeaseHeld)
		same := second.open(s, "pod-1") // by its own name it takes the lease at once
		require.NoError(t, same.Register("c", &counter{}))
		_, err = same.Restore(t.Context())
		require.NoError(t, err)

		require.Error(t, c.Commit(t.Context(), func(m *map[string]int) { (*m)["n"]++ }))
		time.Sleep(time.Minute)
		require.Equal(t, "superseded", first.status())
		require.Equal(t, 1.0, first.points("durable.lease.changes")["durable.lease.change=lost,error.type=fenced"], first.points("durable.lease.changes"))
		require.Equal(t, map[string]float64{"": 2}, first.points("durable.fences"), "the component, and then the system")
		require.Equal(t, 1.0, first.points("durable.save.duration")["durable.save.kind=save,error.type=fenced"])
		require.NoError(t, same.Close())
		require.NoError(t, next.Close())
		_ = old.Close()
	})
}

func TestAStandbyIsAStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newStore(), newBench(t, otel.Options{})
		l, err := s.AcquireLease(t.Context(), "", "somebody", time.Hour)
		require.NoError(t, err)
		cp := b.open(s, "pod-2")
		restored := make(chan error)
		go func() { _, err := cp.Restore(t.Context()); restored <- err }()
		time.Sleep(time.Second)
		require.Equal(t, "standby", b.status())
		require.NoError(t, s.ReleaseLease(t.Context(), l))
		require.NoError(t, <-restored)
		require.Equal(t, "ready", b.status())
		require.NoError(t, cp.Close())
	})
}

func TestComponentsAreOnMetricsOnlyWhenAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := attribute.String("durable.system", "fraud")
		b := newBench(t, otel.Options{PerComponent: true, Attributes: []attribute.KeyValue{system}})
		cp, one := b.open(newStore(), "pod-1"), &counter{}
		require.NoError(t, cp.Register("one", one))
		require.NoError(t, cp.Register("two", &counter{}))
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		one.add()
		require.Equal(t, map[string]float64{
			"durable.component.id=one,durable.system=fraud": 1, "durable.component.id=two,durable.system=fraud": 0,
		}, b.points("durable.components.changed"))
		require.Equal(t, map[string]float64{
			"durable.component.id=one,durable.system=fraud": 1, "durable.component.id=two,durable.system=fraud": 1,
		}, b.points("durable.restore.duration"))
		require.Contains(t, b.points("durable.status"), "durable.status.state=ready,durable.system=fraud")
		require.NoError(t, cp.Close())
	})
}

func TestEverySentinelIsAnErrorTypeOfItsOwn(t *testing.T) {
	b := newBench(t, otel.Options{})
	onEvent := b.tel.OnEvent(nil)
	for err, want := range map[error]string{
		durable.ErrNotFound: "not_found", durable.ErrExpired: "expired", durable.ErrLost: "lost",
		durable.ErrCorrupt: "corrupt", durable.ErrTooNew: "too_new", durable.ErrFenced: "fenced",
		durable.ErrConflict: "conflict", durable.ErrLeaseHeld: "lease_held", durable.ErrTooLarge: "too_large",
		durable.ErrNotDurable: "not_durable", durable.ErrInvalidID: "invalid_id", durable.ErrNotRegistered: "not_registered",
		durable.ErrNotRestored: "not_restored", durable.ErrClosed: "closed", durable.ErrPermanent: "permanent",
		context.DeadlineExceeded: "timeout", context.Canceled: "canceled", errors.New("password=hunter2"): "_OTHER",
	} {
		onEvent(durable.Event{Op: "restore", Err: fmt.Errorf("wrapped: %w", err)})
		require.Equal(t, 1.0, b.points("durable.restore.duration")["error.type="+want], want)
	}
	require.Len(t, b.points("durable.restore.duration"), 18)
}

func TestTheNextFunctionIsCalledToo(t *testing.T) {
	var got durable.Event
	newBench(t, otel.Options{}).tel.OnEvent(func(e durable.Event) { got = e })(durable.Event{Op: "save", Version: 7})
	require.Equal(t, durable.Event{Op: "save", Version: 7}, got)
}
