package redisstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

func isConflict(err error) bool { return errors.Is(err, store.ErrConflict) }

func TestAbsentExpiredLostAndDeletedAreDifferentAnswers(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{TTL: time.Hour})
		_, err := s.Load(ctx, "never")
		requireFence(t, err, store.ErrNotFound, 0, 0)
		mustSave(t, s, "c", snap(1, 1, "a", "1"), snap(1, 2, "b", "2"))
		require.NoError(t, e.client.Del(ctx, e.key("c")).Err())
		_, err = s.Load(ctx, "c")
		requireFence(t, err, store.ErrLost, 1, 2)
		infos, err := s.History(ctx, "c")
		require.NoError(t, err)
		require.Len(t, infos, 1, "older generations stay reachable")
		got, err := s.LoadVersion(ctx, "c", 1)
		require.NoError(t, err)
		require.Equal(t, "1", string(got.Data))

		redistest.Expire(t, e.client, e.key("c"))
		_, err = s.Load(ctx, "c")
		requireFence(t, err, store.ErrExpired, 1, 2)
		require.NoError(t, e.client.Del(ctx, e.side("c", "g:1")).Err())
		_, err = s.History(ctx, "c")
		require.ErrorIs(t, err, store.ErrExpired)
	})
}

func TestARealTTLEndsAsExpired(t *testing.T) {
	e := onReal(t)
	s := e.open(redisstore.Options{TTL: time.Millisecond})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	require.Eventually(t, func() bool { return !e.exists(e.key("c")) }, 5*time.Second, time.Millisecond)
	_, err := s.Load(ctx, "c")
	requireFence(t, err, store.ErrExpired, 1, 1)
}

func TestCorruptionCostsOneGeneration(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{Keep: 4})
		for v := uint64(1); v <= 4; v++ {
			mustSave(t, s, "c", snap(1, v, "w", fmt.Sprint(v)))
		}
		e.damage(e.key("c"))
		e.damage(e.side("c", "g:3"))
		got := loaded(t, s, "c")
		require.EqualValues(t, 2, got.Version)
		require.EqualValues(t, 4, got.LastVersion)
		require.Equal(t, "2", string(got.Data))
		require.False(t, e.exists(e.side("c", "g:3")))
		require.True(t, e.exists(e.side("c", "x:1")), "the bad bytes are kept")
		require.EqualValues(t, 2, loaded(t, s, "c").Version, "and it stays that way")

		infos, err := s.History(ctx, "c")
		require.NoError(t, err)
		require.Len(t, infos, 3)
		require.ErrorIs(t, infos[0].Err, store.ErrCorrupt)
		require.EqualValues(t, 4, infos[0].Version)
		require.ErrorIs(t, second(s.LoadVersion(ctx, "c", 4)), store.ErrCorrupt)

		mustSave(t, s, "c", snap(1, 5, "w", "5"))
		infos, err = s.History(ctx, "c")
		require.NoError(t, err)
		require.Len(t, infos, 3)
		require.EqualValues(t, 5, infos[0].Version)

		for _, k := range []string{e.key("c"), e.side("c", "g:2"), e.side("c", "g:1")} {
			e.damage(k)
		}
		_, err = s.Load(ctx, "c")
		requireFence(t, err, store.ErrCorrupt, 1, 5)
	})
}

func TestHistorySetsAsideWhatDoesNotVerify(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		mustSave(t, s, "c", snap(1, 1, "w", "1"), snap(1, 2, "w", "2"), snap(1, 3, "w", "3"))
		e.set(e.side("c", "g:2"), e.get(e.side("c", "g:1")))
		infos, err := s.History(ctx, "c")
		require.NoError(t, err)
		require.ErrorIs(t, infos[1].Err, store.ErrCorrupt, "version 1 is not version 2")
		infos, err = s.History(ctx, "c")
		require.NoError(t, err)
		require.Len(t, infos, 2)
	})
}

func TestANewerFormatIsNeverAReasonToFallBack(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		mustSave(t, s, "c", snap(1, 1, "w", "1"), snap(1, 2, "w", "2"))
		e.set(e.key("c"), tooNew())
		_, err := s.Load(ctx, "c")
		requireFence(t, err, store.ErrTooNew, 1, 2)
		require.NoError(t, e.client.SetRange(ctx, e.side("c", "f"), 6, "3").Err())
		require.ErrorIs(t, second(s.Load(ctx, "c")), store.ErrTooNew)
		require.ErrorIs(t, s.Save(ctx, "c", snap(1, 3, "w", "3")), store.ErrTooNew)
		require.Equal(t, tooNew(), e.get(e.key("c")))
	})
}

func TestADamagedFenceIsNotAMissingOne(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		for _, harm := range []func(fence string) error{
			func(f string) error { return e.client.SetRange(ctx, f, 0, "X").Err() },
			func(f string) error { return e.client.Append(ctx, f, "|").Err() },
			func(f string) error { return e.client.SetRange(ctx, f, 29, " ").Err() },
			func(f string) error { return e.client.SetRange(ctx, f, 8, strings.Repeat("x", 20)).Err() },
			func(f string) error { return e.client.SetRange(ctx, f, 50, "?").Err() },
			func(f string) error { return e.client.Set(ctx, f, "FENCE 2 ", 0).Err() },
		} {
			mustSave(t, s, "c", snap(1, 1, "w", "1"))
			require.NoError(t, harm(e.side("c", "f")))
			for _, err := range []error{second(s.Load(ctx, "c")), s.Save(ctx, "c", snap(1, 2, "w", "2")), s.Claim(ctx, "c", 5)} {
				require.ErrorContains(t, err, "damaged")
				require.NotErrorIs(t, err, store.ErrNotFound)
			}
			require.NoError(t, e.client.Del(ctx, e.key("c"), e.side("c", "f")).Err())
		}
	})
}

func TestAListNamesWhatWasSavedAndNotDeletedOnce(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{TTL: time.Hour})
		awkward := []string{"sys/rep/id", "a{b}c", "50%", "g:1", "f", "with space", "ümläut", "[x]*?\\", "~set", "lost", "expired", "plain"}
		for _, id := range awkward[:len(awkward)-1] {
			mustSave(t, s, id, snap(1, 1, "a", id), snap(1, 2, "b", id))
			require.Equal(t, id, string(loaded(t, s, id).Data))
		}
		require.NoError(t, e.client.Del(ctx, e.key("lost")).Err())
		redistest.Expire(t, e.client, e.key("expired"))
		e.set(e.key("plain"), `{"a":1}`)
		e.set(e.key("foreign"), `not ours`)
		require.NoError(t, e.client.RPush(ctx, e.key("list"), "x").Err())
		mustSave(t, s, "deleted", snap(1, 1, "a", "x"))
		require.NoError(t, s.Delete(ctx, "deleted"))
		require.NoError(t, s.Claim(ctx, "claimed", 3))
		_, err := s.AcquireLease(ctx, "leased", "me", time.Minute, 1)
		require.NoError(t, err)
		for range 300 {
			require.NoError(t, e.client.Set(ctx, "other:"+e.prefix+fmt.Sprint(time.Now().UnixNano()), "x", time.Minute).Err())
		}
		var got []string
		for id, err := range s.List(ctx) {
			require.NoError(t, err)
			got = append(got, id)
		}
		slices.Sort(got)
		slices.Sort(awkward)
		require.Equal(t, awkward, got)
		for range s.List(ctx) {
			break // the caller may stop at any time
		}
	})
}

func TestAStateAboveTheLimitIsNotReadAsCorrupt(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		mustSave(t, e.open(redisstore.Options{}), "c", snap(1, 1, "w", strings.Repeat("x", 200<<10)))
		_, err := e.open(redisstore.Options{MaxBytes: 1 << 10}).Load(ctx, "c")
		require.ErrorIs(t, err, store.ErrTooLarge)
	})
}

func TestLeasesHaveOneHolder(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		a, b := e.open(redisstore.Options{}), e.open(redisstore.Options{})
		_, err := a.LoadLease(ctx, "sys")
		require.ErrorIs(t, err, store.ErrNotFound)
		l, err := a.AcquireLease(ctx, "sys", "a", time.Minute, 5)
		require.NoError(t, err)
		require.Greater(t, l.Epoch, uint64(1e12), "the server's clock")
		_, err = b.AcquireLease(ctx, "sys", "b", time.Minute, 1)
		require.ErrorIs(t, err, store.ErrLeaseHeld)
		again, err := b.AcquireLease(ctx, "sys", "a", time.Minute, 1)
		require.NoError(t, err)
		require.Greater(t, again.Epoch, l.Epoch)
		require.ErrorIs(t, second(a.RenewLease(ctx, l)), store.ErrFenced)
		require.ErrorIs(t, second(a.ReleaseLease(ctx, l)), store.ErrFenced)
		renewed, err := b.RenewLease(ctx, again)
		require.NoError(t, err)
		released, err := b.ReleaseLease(ctx, renewed)
		require.NoError(t, err)
		require.True(t, released.Released)
		require.ErrorIs(t, second(b.RenewLease(ctx, renewed)), store.ErrFenced, "a late renewal does not revive it")
		taken, err := a.AcquireLease(ctx, "sys", "c", time.Minute, again.Epoch+1000)
		require.NoError(t, err)
		require.EqualValues(t, again.Epoch+1000, taken.Epoch)
		stored, err := b.LoadLease(ctx, "sys")
		require.NoError(t, err)
		require.Equal(t, "c", stored.Holder)
		require.Equal(t, taken.Expires.UnixMilli(), stored.Expires.UnixMilli())
		require.EqualValues(t, -1, e.ttl(e.side("sys", "lease")))

		require.NoError(t, e.client.Del(ctx, e.side("sys", "lease")).Err())
		_, err = a.RenewLease(ctx, taken)
		require.NoError(t, err, "a lost record is written again")
		e.damage(e.side("sys", "lease"))
		after, err := b.AcquireLease(ctx, "sys", "d", time.Minute, taken.Epoch+1)
		require.NoError(t, err, "a damaged record counts as lost")
		require.Greater(t, after.Epoch, taken.Epoch)
		_, err = a.AcquireLease(ctx, "", "whole prefix", time.Minute, 1)
		require.NoError(t, err)
	})
}

func TestAnExpiredLeaseIsTakenOver(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		a, b := e.open(redisstore.Options{}), e.open(redisstore.Options{})
		l, err := a.AcquireLease(ctx, "sys", "a", time.Millisecond, 1)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			n, err := b.AcquireLease(ctx, "sys", "b", time.Minute, 1)
			return err == nil && n.Epoch > l.Epoch
		}, 5*time.Second, time.Millisecond)
		require.ErrorIs(t, second(a.RenewLease(ctx, l)), store.ErrFenced)
	})
}
