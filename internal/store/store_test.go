package store_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/store"
)

var now = time.Date(2025, 11, 22, 20, 0, 0, 0, time.UTC)

func requireAnswer(t *testing.T, err, want error, f store.Fence) {
	t.Helper()
	require.ErrorIs(t, err, want)
	var a *store.Error
	require.True(t, errors.As(err, &a), "%v carries no fence", err)
	require.Equal(t, f, a.Fence)
}

func TestJudgeAppliesTheSaveRule(t *testing.T) {
	fence := store.Fence{Epoch: 5, Version: 3}
	last := store.Attempt{Epoch: 5, Version: 3, WriteID: "w"}
	for _, c := range []struct {
		name    string
		epoch   uint64
		version uint64
		writeID string
		data    []byte
		repeat  bool
		err     error
	}{
		{"the next version", 5, 4, "x", []byte("d"), false, nil},
		{"an empty state", 5, 4, "x", []byte{}, false, nil},
		{"a gap", 5, 400, "x", []byte("d"), false, nil},
		{"the last version there is", 5, math.MaxUint64, "x", []byte("d"), false, nil},
		{"a greater epoch", 6, 4, "x", []byte("d"), false, nil},
		{"a lower epoch", 4, 4, "x", []byte("d"), false, store.ErrFenced},
		{"a lower epoch and version", 4, 2, "x", []byte("d"), false, store.ErrFenced},
		{"a lower epoch without data", 4, 3, "w", nil, false, store.ErrFenced},
		{"an equal version", 5, 3, "x", []byte("d"), false, store.ErrConflict},
		{"a lower version", 5, 2, "w", []byte("d"), false, store.ErrConflict},
		{"a greater epoch with an equal version", 6, 3, "w", []byte("d"), false, store.ErrConflict},
		{"a repeat", 5, 3, "w", []byte("d"), true, nil},
		{"a refresh", 5, 3, "w", nil, true, nil},
		{"a refresh of another save", 5, 3, "x", nil, false, store.ErrConflict},
		{"a refresh of what was never saved", 5, 4, "x", nil, false, store.ErrLost},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &store.Snapshot{Epoch: c.epoch, Version: c.version, WriteID: c.writeID, Data: c.data}
			repeat, err := store.Judge(fence, last, s)
			require.Equal(t, c.repeat, repeat)
			if c.err == nil {
				require.NoError(t, err)
				return
			}
			requireAnswer(t, err, c.err, fence)
		})
	}
}

func TestNothingRepeatsASaveThatIsForgotten(t *testing.T) {
	_, err := store.Judge(store.Fence{}, store.Attempt{}, &store.Snapshot{Data: []byte{}})
	require.ErrorIs(t, err, store.ErrConflict)
	_, err = store.Judge(store.Fence{Epoch: 6, Version: 3}, store.Attempt{}, &store.Snapshot{Epoch: 6, Version: 3, WriteID: "w", Data: []byte{}})
	require.ErrorIs(t, err, store.ErrConflict)
}

func TestAnAttemptBelowAClaimIsNoRepeat(t *testing.T) {
	last := store.Attempt{Epoch: 5, Version: 3, WriteID: "w"}
	_, err := store.Judge(store.Fence{Epoch: 6, Version: 3}, last, &store.Snapshot{Epoch: 5, Version: 3, WriteID: "w"})
	require.ErrorIs(t, err, store.ErrFenced)
}

func held() *store.Lease {
	return &store.Lease{Name: "n", Holder: "one", Epoch: 7, TTL: time.Minute, Expires: now.Add(time.Minute)}
}

func TestTakeLease(t *testing.T) {
	clock := uint64(now.UnixMilli())
	for _, c := range []struct {
		name    string
		change  func(*store.Lease)
		ended   bool
		holder  string
		now     time.Time
		atLeast uint64
		epoch   uint64
		err     error
	}{
		{"by its holder", nil, false, "one", now, 0, clock, nil},
		{"by another while it is held", nil, false, "two", now, 0, 0, store.ErrLeaseHeld},
		{"by another just before it expires", nil, false, "two", now.Add(time.Minute - 1), 0, 0, store.ErrLeaseHeld},
		{"by another when it expires", nil, false, "two", now.Add(time.Minute), 0, clock + 60_000, nil},
		{"by another after its release", func(l *store.Lease) { l.Released = true }, false, "two", now, 0, clock, nil},
		{"by another when its holder is known to be gone", nil, true, "two", now, 0, clock, nil},
		{"above an epoch that was seen", nil, false, "one", now, clock + 99, clock + 99, nil},
		{"above an epoch from a fast clock", func(l *store.Lease) { l.Epoch = clock + 500 }, false, "one", now, 0, clock + 501, nil},
		{"with a clock before 1970", nil, false, "one", time.Unix(-9, 0), 0, 8, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			prev := held()
			if c.change != nil {
				c.change(prev)
			}
			before := *prev
			l, err := store.TakeLease(prev, c.ended, "n", c.holder, time.Hour, c.atLeast, c.now)
			require.Equal(t, before, *prev, "the stored record must not be changed")
			if c.err != nil {
				requireAnswer(t, err, c.err, store.Fence{Epoch: 7})
				require.Contains(t, err.Error(), `"one"`)
				return
			}
			require.NoError(t, err)
			require.Equal(t, &store.Lease{Name: "n", Holder: c.holder, Epoch: c.epoch, TTL: time.Hour, Expires: c.now.Add(time.Hour)}, l)
		})
	}
}

func TestTheFirstLeaseHasAnEpochAboveZero(t *testing.T) {
	l, err := store.TakeLease(nil, false, "n", "one", time.Minute, 0, time.UnixMilli(0))
	require.NoError(t, err)
	require.EqualValues(t, 1, l.Epoch)
}

func TestRenewedLease(t *testing.T) {
	later := now.Add(time.Hour)
	for _, c := range []struct {
		name   string
		stored *store.Lease
		err    error
	}{
		{"that is stored", held(), nil},
		{"that was lost", nil, nil},
		{"that an older record replaced after a failover", &store.Lease{Holder: "old", Epoch: 6}, nil},
		{"that was released", &store.Lease{Holder: "one", Epoch: 7, Released: true}, store.ErrFenced},
		{"that was superseded", &store.Lease{Holder: "two", Epoch: 8}, store.ErrFenced},
		{"that was superseded and released", &store.Lease{Holder: "two", Epoch: 8, Released: true}, store.ErrFenced},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := held()
			n, err := store.RenewedLease(c.stored, l, later)
			require.Equal(t, held(), l, "the lease must not be changed")
			if c.err != nil {
				requireAnswer(t, err, c.err, store.Fence{Epoch: c.stored.Epoch})
				return
			}
			require.NoError(t, err)
			want := held()
			want.Expires = later.Add(time.Minute)
			require.Equal(t, want, n)
		})
	}
}

func TestReleasedLease(t *testing.T) {
	renewed := held()
	renewed.Expires = now.Add(time.Hour)
	for _, c := range []struct {
		name    string
		stored  *store.Lease
		expires time.Time
		err     error
	}{
		{"that is stored", held(), now.Add(time.Minute), nil},
		{"that was renewed since", renewed, now.Add(time.Hour), nil},
		{"that was lost", nil, now.Add(time.Minute), nil},
		{"that was superseded", &store.Lease{Holder: "two", Epoch: 8}, time.Time{}, store.ErrFenced},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := held()
			n, err := store.ReleasedLease(c.stored, l, now)
			require.Equal(t, held(), l, "the lease must not be changed")
			if c.err != nil {
				requireAnswer(t, err, c.err, store.Fence{Epoch: c.stored.Epoch})
				return
			}
			require.NoError(t, err)
			want := held()
			want.Released, want.Expires = true, c.expires
			require.Equal(t, want, n)
		})
	}
}

func TestAnAnswerKeepsItsErrorAndItsFence(t *testing.T) {
	f := store.Fence{Epoch: 1, Version: 2}
	err := fmt.Errorf("outside: %w", store.Answer(f, store.ErrLost, "version %d", 2))
	requireAnswer(t, err, store.ErrLost, f)
	require.Equal(t, "outside: durable: state lost: version 2", err.Error())
	require.Equal(t, store.ErrLost.Error(), store.Answer(f, store.ErrLost, "").Error())
}
