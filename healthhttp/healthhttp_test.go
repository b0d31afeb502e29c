package healthhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/healthhttp"
)

// A store can be switched off.
type store struct {
	*durable.MemoryAdapter
	off atomic.Bool
}

var errOff = errors.New("connection refused")

func (s *store) SaveState(ctx context.Context, id string, snap *durable.Snapshot) error {
	if s.off.Load() {
		return errOff
	}
	return s.MemoryAdapter.SaveState(ctx, id, snap)
}

func (s *store) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	if s.off.Load() {
		return nil, errOff
	}
	return s.MemoryAdapter.LoadState(ctx, id)
}

type counter struct {
	durable.StatefulComponent[map[string]int]
}

func newProgram(t *testing.T, a durable.StateAdapter, holder string) (*durable.Checkpointer, *counter) {
	cp := durable.New(a, &durable.Options{Holder: holder, Logger: slog.New(slog.DiscardHandler)})
	c := &counter{}
	require.NoError(t, cp.Register("counter", c))
	return cp, c
}

func get(t *testing.T, h http.Handler, path string) (code int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestReadinessFollowsTheLifeOfTheProgramAndLivenessDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{MemoryAdapter: durable.NewMemoryAdapter(nil)}
		cp, c := newProgram(t, s, "one")
		h := healthhttp.Handler(cp)
		expect := func(want int, word string) {
			t.Helper()
			code, body := get(t, h, "/readyz")
			require.Equal(t, want, code, body)
			require.Contains(t, body, word)
			code, body = get(t, h, "/healthz")
			require.Equal(t, http.StatusOK, code)
			require.Equal(t, "alive", body)
		}
		expect(http.StatusServiceUnavailable, "not restored")
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, cp.Start())
		time.Sleep(2 * time.Minute)
		expect(http.StatusOK, "ready")
		s.off.Store(true)
		c.Update(func(m *map[string]int) { (*m)["n"]++ })
		time.Sleep(time.Minute)
		expect(http.StatusOK, "ready") // an outage within limits
		time.Sleep(5 * time.Minute)
		expect(http.StatusServiceUnavailable, "connection refused")
		s.off.Store(false)
		time.Sleep(2 * time.Minute)
		expect(http.StatusOK, "ready")
		require.NoError(t, cp.Close())
		expect(http.StatusServiceUnavailable, "closed")
	})
}

func TestAStandbyIsReadyAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := durable.NewMemoryAdapter(nil)
		first, _ := newProgram(t, s, "one")
		_, err := first.Restore(t.Context())
		require.NoError(t, err)
		second, _ := newProgram(t, s, "two")
		restored := make(chan error)
		go func() {
			_, err := second.Restore(t.Context())
			restored <- err
		}()
		time.Sleep(time.Second)
		h := healthhttp.Handler(second)
		code, body := get(t, h, "/readyz")
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, "standby", body)
		require.Equal(t, "standby", status(t, h).State)
		require.True(t, status(t, h).Ready)
		require.NotEmpty(t, status(t, h).Error)
		require.NoError(t, first.Close())
		require.NoError(t, <-restored)
		_, body = get(t, h, "/readyz")
		require.Equal(t, "ready", body)
		require.NoError(t, second.Close())
	})
}

func TestAFurtherCheckDecidesAboutReadinessOnly(t *testing.T) {
	cp, _ := newProgram(t, durable.NewMemoryAdapter(nil), "one")
	_, err := cp.Restore(t.Context())
	require.NoError(t, err)
	defer cp.Close()
	var draining error
	h := healthhttp.Handler(cp, func() error { return nil }, func() error { return draining })
	code, _ := get(t, h, "/readyz")
	require.Equal(t, http.StatusOK, code)
	draining = errors.New("shutting down")
	code, body := get(t, h, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "shutting down", body)
	require.False(t, status(t, h).Ready)
	code, _ = get(t, h, "/healthz")
	require.Equal(t, http.StatusOK, code)
}

func TestACheckThatDoesNotReturnIsNotReady(t *testing.T) {
	cp, _ := newProgram(t, durable.NewMemoryAdapter(nil), "one")
	for _, wrong := range []func(){runtime.Goexit, func() { panic("boom") }} {
		code, body := get(t, healthhttp.Handler(cp, func() error { wrong(); return nil }), "/readyz")
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.Contains(t, body, "a check")
	}
}

func status(t *testing.T, h http.Handler) (s healthhttp.Status) {
	code, body := get(t, h, "/status")
	require.Equal(t, http.StatusOK, code)
	require.NoError(t, json.Unmarshal([]byte(body), &s))
	return s
}

func TestANilCheckIsNamedAndIsNoPanic(t *testing.T) {
	w := httptest.NewRecorder()
	healthhttp.Handler(nil, nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "check 1 of healthhttp.Handler is nil")
}

func TestStatusNamesEveryComponentWithItsAgeAndItsLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{MemoryAdapter: durable.NewMemoryAdapter(nil)}
		cp, c := newProgram(t, s, "one")
		h := healthhttp.Handler(cp)
		before := status(t, h)
		require.False(t, before.Ready)
		require.Equal(t, []healthhttp.Component{{ID: "counter", Changed: before.Components[0].Changed}}, before.Components)

		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, c.Commit(t.Context(), func(m *map[string]int) { (*m)["n"] = 1 }))
		time.Sleep(3 * time.Second)
		s.off.Store(true)
		require.Error(t, c.Commit(timeout(t), func(m *map[string]int) { (*m)["secret"] = 2 }))
		after := status(t, h)
		got := after.Components[0]
		require.EqualValues(t, 1, got.Version)
		require.True(t, got.Changed)
		require.EqualValues(t, len(`{"n":1}`), got.Bytes)
		require.NotNil(t, got.SavedAt)
		require.GreaterOrEqual(t, *got.Age, 3.0)
		require.NotZero(t, got.Failures)
		require.Contains(t, got.Error, "connection refused")
		s.off.Store(false)
		require.NoError(t, cp.Close())
	})
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestOtherMethodsAndPathsAreRefused(t *testing.T) {
	cp, _ := newProgram(t, durable.NewMemoryAdapter(nil), "one")
	h := healthhttp.Handler(cp)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/readyz", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/state", nil))
	require.Equal(t, http.StatusNotFound, w.Code)
}
