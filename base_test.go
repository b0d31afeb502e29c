package durable_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/memstore"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/testkit"
)

// A stub is a memory store of which a test replaces a part.
type stub struct {
	*memstore.Store
	save   func(id string, s *store.Snapshot) error
	list   iter.Seq2[string, error]
	closed int
	err    error
}

func (s *stub) Save(ctx context.Context, id string, snap *store.Snapshot) error {
	if s.save != nil {
		if err := s.save(id, snap); err != nil {
			return err
		}
	}
	return s.Store.Save(ctx, id, snap)
}

func (s *stub) List(ctx context.Context) iter.Seq2[string, error] {
	if s.list != nil {
		return s.list
	}
	return s.Store.List(ctx)
}

func (s *stub) Close() error {
	s.closed++
	return s.err
}

func newStub() *stub { return &stub{Store: memstore.New(3, 0)} }

func TestASaveRefusedMeanwhileReadsTheFenceAgain(t *testing.T) {
	st := newStub()
	a := durable.NewAdapterOn("stub", st, 0)
	var versions []uint64
	st.save = func(id string, s *store.Snapshot) error {
		versions = append(versions, s.Version)
		if len(versions) > 3 {
			return nil
		}
		// Another writer is quicker, three times.
		return st.Store.Save(t.Context(), id, &store.Snapshot{Epoch: s.Epoch, Version: s.Version, WriteID: "other", Data: []byte("x")})
	}
	require.NoError(t, a.SaveState(t.Context(), "c", &durable.Snapshot{Data: []byte("last writer")}))
	require.Equal(t, []uint64{1, 2, 3, 4}, versions)
	s, err := a.LoadState(t.Context(), "c")
	require.NoError(t, err)
	require.Equal(t, "last writer", string(s.Data))
}

func TestASaveUnderAnEpochOfItsOwnIsNotRetriedWhenFenced(t *testing.T) {
	st := newStub()
	a := durable.NewAdapterOn("stub", st, 0)
	calls := 0
	st.save = func(id string, _ *store.Snapshot) error {
		calls++
		return st.Claim(t.Context(), id, 9)
	}
	err := a.SaveState(t.Context(), "c", &durable.Snapshot{Epoch: 5, Data: []byte("x")})
	require.ErrorIs(t, err, durable.ErrFenced)
	testkit.RequireFence(t, err, 9, 0)
	require.Equal(t, 1, calls)
}

func TestASaveThatIsRefusedForEverEndsWithItsContext(t *testing.T) {
	st := newStub()
	a := durable.NewAdapterOn("stub", st, 0)
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	st.save = func(string, *store.Snapshot) error {
		if calls++; calls == 5 {
			cancel()
		}
		return store.Answer(store.Fence{}, store.ErrConflict, "")
	}
	require.ErrorIs(t, a.SaveState(ctx, "c", &durable.Snapshot{Data: []byte("x")}), durable.ErrConflict)
	require.Equal(t, 5, calls)
}

func TestAnUnknownOutcomeIsNotRetried(t *testing.T) {
	st := newStub()
	a := durable.NewAdapterOn("stub", st, 0)
	calls, broken := 0, errors.New("connection reset")
	st.save = func(string, *store.Snapshot) error { calls++; return broken }
	err := a.SaveState(t.Context(), "c", &durable.Snapshot{Data: []byte("x")})
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, calls)
	require.EqualError(t, err, `durable: stub: save "c": connection reset`)
}

func TestAStateAboveTheLimitIsRefusedBeforeItIsSent(t *testing.T) {
	st := newStub()
	a := durable.NewAdapterOn("stub", st, 4)
	st.save = func(_ string, s *store.Snapshot) error {
		require.LessOrEqual(t, len(s.Data), 4)
		return nil
	}
	require.NoError(t, a.SaveState(t.Context(), "c", testkit.Snapshot(1, 1, "1234")))
	err := a.SaveState(t.Context(), "c", testkit.Snapshot(1, 2, "12345"))
	require.ErrorIs(t, err, durable.ErrTooLarge)
	require.ErrorContains(t, err, "MaxStateBytes")
}

func TestALeaseIsAboveEveryEpochThatItsAdapterHasSeen(t *testing.T) {
	const ahead = uint64(1) << 60
	ctx := t.Context()
	for name, see := range map[string]func(a *durable.MemoryAdapter){
		"in a claim": func(a *durable.MemoryAdapter) { require.NoError(t, a.ClaimState(ctx, "c", ahead)) },
		"in a save": func(a *durable.MemoryAdapter) {
			require.NoError(t, a.SaveState(ctx, "c", testkit.Snapshot(ahead, 1, "x")))
		},
		"in a refusal": func(a *durable.MemoryAdapter) {
			require.NoError(t, testkit.Memory(t, a).Claim(ctx, "c", ahead))
			require.Error(t, a.ClaimState(ctx, "c", 1))
		},
		"in a load": func(a *durable.MemoryAdapter) {
			saved := store.Snapshot(*testkit.Snapshot(ahead, 1, "x"))
			require.NoError(t, testkit.Memory(t, a).Save(ctx, "c", &saved))
			_, err := a.LoadState(ctx, "c")
			require.NoError(t, err)
		},
		"in a lease": func(a *durable.MemoryAdapter) {
			require.NoError(t, a.RenewLease(ctx, &durable.Lease{Name: "other", Holder: "h", Epoch: ahead, TTL: time.Minute}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := durable.NewMemoryAdapter(nil)
			see(a)
			l, err := a.AcquireLease(ctx, "n", "h", time.Minute)
			require.NoError(t, err)
			require.Greater(t, l.Epoch, ahead)
		})
	}
}

func TestARefusedRenewalLeavesTheLeaseAlone(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	old, err := a.AcquireLease(t.Context(), "n", "h", time.Minute)
	require.NoError(t, err)
	_, err = a.AcquireLease(t.Context(), "n", "h", time.Minute)
	require.NoError(t, err)
	before := *old
	require.ErrorIs(t, a.RenewLease(t.Context(), old), durable.ErrFenced)
	require.ErrorIs(t, a.ReleaseLease(t.Context(), old), durable.ErrFenced)
	require.Equal(t, before, *old)
}

func TestALeaseNeedsAHolderAndATTL(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	_, err := a.AcquireLease(t.Context(), "n", "", time.Minute)
	require.ErrorContains(t, err, "holder")
	_, err = a.AcquireLease(t.Context(), "n", "h", 0)
	require.ErrorContains(t, err, "TTL")
	_, err = a.AcquireLease(t.Context(), "n\n", "h", time.Minute)
	require.ErrorIs(t, err, durable.ErrInvalidID)
	_, err = a.AcquireLease(t.Context(), "", "h", time.Minute)
	require.NoError(t, err, "the empty name is the lease of the whole store")
}

func TestAListEndsWithItsFirstError(t *testing.T) {
	st := newStub()
	broken := errors.New("connection reset")
	st.list = func(yield func(string, error) bool) {
		_ = yield("a", nil) && yield("", broken) && yield("b", nil)
	}
	var got []string
	for id, err := range durable.NewAdapterOn("stub", st, 0).(durable.Historian).ListComponents(t.Context()) {
		got = append(got, fmt.Sprint(id, err))
	}
	require.Equal(t, []string{"a<nil>", "durable: stub: list: connection reset"}, got)
}

func TestAStoreIsClosedOnce(t *testing.T) {
	st := newStub()
	st.err = errors.New("disk gone")
	a := durable.NewAdapterOn("stub", st, 0)
	require.ErrorIs(t, a.Close(), st.err)
	require.NoError(t, a.Close())
	require.Equal(t, 1, st.closed)
}

func TestAnInvalidIDIsNamedAlsoAfterClose(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	require.NoError(t, a.Close())
	require.ErrorIs(t, a.DeleteState(t.Context(), ""), durable.ErrInvalidID)
	require.ErrorIs(t, a.DeleteState(t.Context(), "c"), durable.ErrClosed)
}
