package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/adapter"
	"github.com/durablestate/durable/internal/memstore"
	"github.com/durablestate/durable/internal/store"
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

func snapshot(epoch, version uint64, data string) *store.Snapshot {
	return &store.Snapshot{Epoch: epoch, Version: version, WriteID: fmt.Sprintf("w%d", version), Codec: "json", Data: []byte(data)}
}

func newStub() *stub { return &stub{Store: memstore.New(3, 0)} }

func TestASaveRefusedMeanwhileReadsTheFenceAgain(t *testing.T) {
	st := newStub()
	a := &adapter.Adapter{Store: st}
	var versions []uint64
	st.save = func(id string, s *store.Snapshot) error {
		versions = append(versions, s.Version)
		if len(versions) > 3 {
			return nil
		}
		// Another writer is quicker, three times.
		return st.Store.Save(t.Context(), id, &store.Snapshot{Epoch: s.Epoch, Version: s.Version, WriteID: "other", Data: []byte("x")})
	}
	require.NoError(t, a.Save(t.Context(), "c", &store.Snapshot{Data: []byte("last writer")}))
	require.Equal(t, []uint64{1, 2, 3, 4}, versions)
	s, err := a.Load(t.Context(), "c")
	require.NoError(t, err)
	require.Equal(t, "last writer", string(s.Data))
}

func TestASaveUnderAnEpochOfItsOwnIsNotRetriedWhenFenced(t *testing.T) {
	st := newStub()
	a := &adapter.Adapter{Store: st}
	calls := 0
	st.save = func(id string, _ *store.Snapshot) error {
		calls++
		return st.Claim(t.Context(), id, 9)
	}
	err := a.Save(t.Context(), "c", &store.Snapshot{Epoch: 5, Data: []byte("x")})
	require.ErrorIs(t, err, store.ErrFenced)
	require.Equal(t, store.Fence{Epoch: 9}, store.FenceOf(err))
	require.Equal(t, 1, calls)
}

func TestASaveThatIsRefusedForEverEndsWithItsContext(t *testing.T) {
	st := newStub()
	a := &adapter.Adapter{Store: st}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	st.save = func(string, *store.Snapshot) error {
		if calls++; calls == 5 {
			cancel()
		}
		return store.Answer(store.Fence{}, store.ErrConflict, "")
	}
	require.ErrorIs(t, a.Save(ctx, "c", &store.Snapshot{Data: []byte("x")}), store.ErrConflict)
	require.Equal(t, 5, calls)
}

func TestAnUnknownOutcomeIsNotRetried(t *testing.T) {
	st := newStub()
	a := &adapter.Adapter{Store: st}
	calls, broken := 0, errors.New("connection reset")
	st.save = func(string, *store.Snapshot) error { calls++; return broken }
	err := a.Save(t.Context(), "c", &store.Snapshot{Data: []byte("x")})
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, calls)
}

func TestAStateAboveTheLimitIsRefusedBeforeItIsSent(t *testing.T) {
	st := newStub()
	a := &adapter.Adapter{Store: st, MaxBytes: 4}
	st.save = func(_ string, s *store.Snapshot) error {
		require.LessOrEqual(t, len(s.Data), 4)
		return nil
	}
	require.NoError(t, a.Save(t.Context(), "c", snapshot(1, 1, "1234")))
	err := a.Save(t.Context(), "c", snapshot(1, 2, "12345"))
	require.ErrorIs(t, err, store.ErrTooLarge)
	require.ErrorContains(t, err, "MaxStateBytes")
}

func TestALeaseIsAboveEveryEpochThatItsAdapterHasSeen(t *testing.T) {
	const ahead = uint64(1) << 60
	ctx := t.Context()
	for name, see := range map[string]func(a *adapter.Adapter){
		"in a claim": func(a *adapter.Adapter) { require.NoError(t, a.Claim(ctx, "c", ahead)) },
		"in a save": func(a *adapter.Adapter) {
			require.NoError(t, a.Save(ctx, "c", snapshot(ahead, 1, "x")))
		},
		"in a refusal": func(a *adapter.Adapter) {
			require.NoError(t, a.Store.Claim(ctx, "c", ahead))
			require.Error(t, a.Claim(ctx, "c", 1))
		},
		"in a load": func(a *adapter.Adapter) {
			require.NoError(t, a.Store.Save(ctx, "c", snapshot(ahead, 1, "x")))
			_, err := a.Load(ctx, "c")
			require.NoError(t, err)
		},
		"in a lease": func(a *adapter.Adapter) {
			_, err := a.RenewLease(ctx, &store.Lease{Name: "other", Holder: "h", Epoch: ahead, TTL: time.Minute})
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &adapter.Adapter{Store: memstore.New(3, 0)}
			see(a)
			l, err := a.AcquireLease(ctx, "n", "h", time.Minute)
			require.NoError(t, err)
			require.Greater(t, l.Epoch, ahead)
		})
	}
}

func TestARefusedRenewalLeavesTheLeaseAlone(t *testing.T) {
	a := &adapter.Adapter{Store: memstore.New(3, 0)}
	old, err := a.AcquireLease(t.Context(), "n", "h", time.Minute)
	require.NoError(t, err)
	_, err = a.AcquireLease(t.Context(), "n", "h", time.Minute)
	require.NoError(t, err)
	before := *old
	_, err = a.RenewLease(t.Context(), old)
	require.ErrorIs(t, err, store.ErrFenced)
	_, err = a.ReleaseLease(t.Context(), old)
	require.ErrorIs(t, err, store.ErrFenced)
	require.Equal(t, before, *old)
}

func TestALeaseNeedsAHolderAndATTL(t *testing.T) {
	a := &adapter.Adapter{Store: memstore.New(3, 0)}
	_, err := a.AcquireLease(t.Context(), "n", "", time.Minute)
	require.ErrorContains(t, err, "holder")
	_, err = a.AcquireLease(t.Context(), "n", "h", 0)
	require.ErrorContains(t, err, "TTL")
	_, err = a.AcquireLease(t.Context(), "n\n", "h", time.Minute)
	require.ErrorIs(t, err, store.ErrInvalidID)
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
	for id, err := range (&adapter.Adapter{Store: st}).List(t.Context()) {
		got = append(got, fmt.Sprint(id, err))
	}
	require.Equal(t, []string{"a<nil>", "connection reset"}, got)
}

func TestAStoreIsClosedOnce(t *testing.T) {
	st := newStub()
	st.err = errors.New("disk gone")
	a := &adapter.Adapter{Store: st}
	require.ErrorIs(t, a.Close(), st.err)
	require.NoError(t, a.Close())
	require.Equal(t, 1, st.closed)
}

func TestAnInvalidIDIsNamedAlsoAfterClose(t *testing.T) {
	a := &adapter.Adapter{Store: memstore.New(3, 0)}
	require.NoError(t, a.Close())
	require.ErrorIs(t, a.Delete(t.Context(), ""), store.ErrInvalidID)
	require.ErrorIs(t, a.Delete(t.Context(), "c"), store.ErrClosed)
}
