package otel_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/adaptertest"
	"github.com/durablestate/durable/otel"
)

func TestConformance_wrapped(t *testing.T) {
	adaptertest.Run(t, adaptertest.Store{
		Open: func(t *testing.T) durable.StateAdapter {
			return newBench(t, otel.Options{}).tel.Adapter(durable.NewMemoryAdapter(nil))
		},
	})
}

func TestConformance_wrapped_files(t *testing.T) {
	adaptertest.Run(t, adaptertest.Store{
		Open: func(t *testing.T) durable.StateAdapter {
			a, err := durable.NewFileAdapter(t.TempDir(), nil)
			require.NoError(t, err)
			return newBench(t, otel.Options{}).tel.Adapter(a)
		},
	})
}

func TestTheWrapperHasTheCapabilitiesOfWhatItWraps(t *testing.T) {
	tel := newBench(t, otel.Options{}).tel
	memory := durable.NewMemoryAdapter(nil)
	a := tel.Adapter(memory)
	require.Implements(t, (*durable.Historian)(nil), a)
	require.Same(t, memory, a.(interface{ Unwrap() durable.StateAdapter }).Unwrap())
	plain := tel.Adapter(struct{ durable.StateAdapter }{memory})
	_, ok := plain.(durable.Historian)
	require.False(t, ok, "what is wrapped has no history to show")
}

func TestEveryCallIsMeasuredAndHasASpan(t *testing.T) {
	ctx, b := context.Background(), newBench(t, otel.Options{})
	a := b.tel.Adapter(durable.NewMemoryAdapter(nil))
	h := a.(durable.Historian)
	_, err := a.LoadState(ctx, "c")
	require.ErrorIs(t, err, durable.ErrNotFound)
	s := &durable.Snapshot{Epoch: 3, Version: 5, WriteID: "w", Data: []byte("state")}
	require.NoError(t, a.SaveState(ctx, "c", s))
	require.NoError(t, a.SaveState(ctx, "c", &durable.Snapshot{Epoch: 3, Version: 5, WriteID: "w"}))
	require.ErrorIs(t, a.SaveState(ctx, "c", &durable.Snapshot{Epoch: 2, Version: 6, WriteID: "x", Data: []byte("late")}), durable.ErrFenced)
	_, err = a.LoadState(ctx, "c")
	require.NoError(t, err)
	_, err = h.ListSnapshots(ctx, "c")
	require.NoError(t, err)
	_, err = h.LoadSnapshot(ctx, "c", 5)
	require.NoError(t, err)
	for _, err := range h.ListComponents(ctx) {
		require.NoError(t, err)
	}
	require.NoError(t, a.DeleteState(ctx, "c"))

	const memory = "durable.adapter.type=memory,durable.operation.name="
	require.Equal(t, map[string]float64{
		memory + "load": 1, memory + "load,error.type=not_found": 1,
		memory + "save": 1, memory + "save,error.type=fenced": 1, memory + "refresh": 1,
		memory + "history": 1, memory + "load_version": 1, memory + "list": 1, memory + "delete": 1,
	}, b.points("durable.adapter.operation.duration"))

	loads, saves := b.ended("durable load"), b.ended("durable save")
	require.Equal(t, codes.Unset, loads[0].Status().Code, "absent is an answer, not a failure")
	require.Equal(t, "not_found", attributesOf(loads[0])["error.type"])
	require.Equal(t, "5", attributesOf(loads[1])["durable.version"])
	require.Equal(t, "c", attributesOf(saves[0])["durable.component.id"])
	require.Equal(t, "5", attributesOf(saves[0])["durable.state.size"])
	require.Equal(t, codes.Error, saves[1].Status().Code)
	require.Contains(t, saves[1].Status().Description, "epoch")
}

func TestSpansOfEventsLastAsLongAsWhatTheyTell(t *testing.T) {
	b := newBench(t, otel.Options{})
	onEvent := b.tel.OnEvent(nil)
	onEvent(durable.Event{Op: "restore", ComponentID: "c", Version: 4, Bytes: 9, Duration: 3 * time.Second})
	onEvent(durable.Event{Op: "lease", Version: 100})
	onEvent(durable.Event{Op: "lease", Version: 100})
	onEvent(durable.Event{Op: "lease", Version: 100, Err: io.ErrUnexpectedEOF})
	onEvent(durable.Event{Op: "lease"})
	onEvent(durable.Event{Op: "fence", Err: durable.ErrFenced})
	onEvent(durable.Event{Op: "vanished", ComponentID: "c", Err: durable.ErrLost})
	onEvent(durable.Event{Op: "spill", ComponentID: "c"})
	onEvent(durable.Event{Op: "save", ComponentID: "c"})
	require.Equal(t, []string{"durable fence", "durable lease acquired", "durable lease released", "durable restore",
		"durable spill", "durable vanished"}, b.spanNames())
	s := b.ended("durable restore")[0]
	require.Equal(t, 3*time.Second, s.EndTime().Sub(s.StartTime()))
	require.Equal(t, "4", attributesOf(s)["durable.version"])
	require.Equal(t, map[string]float64{"": 1, "error.type=_OTHER": 1}, b.points("durable.lease.renewals"))
	require.Equal(t, map[string]float64{"": 1}, b.points("durable.state.vanished"))
}

func TestNoSpanOrMetricCarriesState(t *testing.T) {
	const secret = "topsecret"
	ctx, b := context.Background(), newBench(t, otel.Options{PerComponent: true})
	cp, c := b.open(newStore(), "pod-1"), &counter{}
	require.NoError(t, cp.Register("c", c))
	_, err := cp.Restore(ctx)
	require.NoError(t, err)
	require.NoError(t, c.Commit(ctx, func(m *map[string]int) { (*m)[secret] = 1 }))
	require.NoError(t, cp.Close())
	require.NotEmpty(t, b.spans.Ended())
	for _, s := range b.spans.Ended() {
		require.NotContains(t, describe(s), secret)
	}
	for _, m := range b.collect() {
		for attrs := range b.points(m.Name) {
			require.NotContains(t, attrs, secret)
		}
	}
}

func describe(s trace.ReadOnlySpan) string {
	text := s.Name() + s.Status().Description
	for k, v := range attributesOf(s) {
		text += " " + string(k) + "=" + v
	}
	return text
}
