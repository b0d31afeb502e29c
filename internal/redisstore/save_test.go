package redisstore_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/store"
)

func TestASaveIsAcceptedExactlyAboveTheFence(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		mustSave(t, s, "c", snap(5, 10, "a", "1"), snap(5, 12, "b", "2"), snap(7, 20, "c", "3"))
		requireFence(t, s.Save(ctx, "c", snap(6, 21, "d", "x")), store.ErrFenced, 7, 20)
		requireFence(t, s.Save(ctx, "c", snap(7, 20, "d", "x")), store.ErrConflict, 7, 20)
		requireFence(t, s.Save(ctx, "c", snap(9, 19, "d", "x")), store.ErrConflict, 7, 20)
		require.Equal(t, "3", string(loaded(t, s, "c").Data))
		f, err := s.Fence(ctx, "c")
		require.NoError(t, err)
		require.Equal(t, store.Fence{Epoch: 7, Version: 20}, f)
		require.EqualValues(t, -1, e.ttl(e.side("c", "f")), "a fence has no TTL")
	})
}

func TestVersionsAreComparedExactlyUpToTheLargest(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		const big = 1 << 63
		mustSave(t, s, "c", snap(big, big, "a", "1"), snap(big+1, big+1, "b", "2"))
		requireFence(t, s.Save(ctx, "c", snap(big, big+2, "x", "x")), store.ErrFenced, big+1, big+1)
		requireFence(t, s.Save(ctx, "c", snap(big+1, big+1, "x", "x")), store.ErrConflict, big+1, big+1)
		mustSave(t, s, "c", snap(1<<64-1, 1<<64-1, "z", "3"))
		require.EqualValues(t, uint64(1<<64-1), loaded(t, s, "c").Version)
		require.ErrorIs(t, s.Delete(ctx, "c"), store.ErrConflict, "no epoch is left")
	})
}

func TestARepeatSucceedsWithoutWritingAndRefreshesTheTTL(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{TTL: time.Hour})
		mustSave(t, s, "c", snap(1, 1, "a", "1"), snap(1, 2, "b", "2"))
		for _, repeat := range []*store.Snapshot{snap(1, 2, "b", "2"), touch(1, 2, "b")} {
			for _, k := range []string{e.key("c"), e.side("c", "g:1")} {
				require.NoError(t, e.client.PExpire(ctx, k, time.Minute).Err())
			}
			mustSave(t, s, "c", repeat)
			require.Greater(t, e.ttl(e.key("c")), 59*time.Minute)
			require.Greater(t, e.ttl(e.side("c", "g:1")), 59*time.Minute)
		}
		infos, err := s.History(ctx, "c")
		require.NoError(t, err)
		require.Len(t, infos, 2)
		require.NoError(t, s.Claim(ctx, "c", 2))
		requireFence(t, s.Save(ctx, "c", snap(1, 2, "b", "2")), store.ErrFenced, 2, 2)
		requireFence(t, s.Save(ctx, "c", touch(2, 9, "b")), store.ErrLost, 2, 2)
	})
}

func TestAVanishedOrDamagedCopyIsWrittenAgain(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{TTL: time.Hour})
		mustSave(t, s, "c", snap(1, 1, "a", "1"))
		require.NoError(t, e.client.Del(ctx, e.key("c")).Err())
		requireFence(t, s.Save(ctx, "c", touch(1, 1, "a")), store.ErrLost, 1, 1)
		mustSave(t, s, "c", snap(1, 1, "a", "1"))
		require.Equal(t, "1", string(loaded(t, s, "c").Data))
		require.Greater(t, e.ttl(e.key("c")), 59*time.Minute)

		e.damage(e.key("c"))
		bad := e.get(e.key("c"))
		mustSave(t, s, "c", snap(1, 1, "a", "1"))
		require.Equal(t, "1", string(loaded(t, s, "c").Data))
		require.Equal(t, bad, e.get(e.side("c", "x:1")))
	})
}

func TestEverySaveSetsTheTTLItsOptionsSay(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		hour, day, never := e.open(redisstore.Options{TTL: time.Hour}), e.open(redisstore.Options{TTL: 24 * time.Hour}), e.open(redisstore.Options{})
		mustSave(t, hour, "c", snap(1, 1, "a", "1"))
		require.InDelta(t, time.Hour, e.ttl(e.key("c")), float64(time.Minute))
		mustSave(t, day, "c", snap(1, 2, "b", "2"))
		require.InDelta(t, 24*time.Hour, e.ttl(e.key("c")), float64(time.Minute))
		require.InDelta(t, 48*time.Hour, e.ttl(e.side("c", "g:1")), float64(time.Minute), "so that it need not be set with every save")
		mustSave(t, never, "c", snap(1, 3, "c", "3"))
		for _, k := range []string{e.key("c"), e.side("c", "g:2"), e.side("c", "g:1")} {
			require.EqualValues(t, -1, e.ttl(k), "no TTL is left behind")
		}
		big := strings.Repeat("x", 100<<10)
		mustSave(t, hour, "c", snap(1, 4, "d", big))
		require.InDelta(t, time.Hour, e.ttl(e.key("c")), float64(time.Minute))
		mustSave(t, never, "c", snap(1, 5, "e", big))
		require.EqualValues(t, -1, e.ttl(e.key("c")), "the TTL of the staged value is not kept")
	})
}

func TestAWriterThatLostItsExpiredStateIsNotLockedOut(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{TTL: time.Hour})
		mustSave(t, s, "c", snap(1, 1, "a", "1"))
		require.NoError(t, e.client.Del(ctx, e.key("c")).Err())
		requireFence(t, s.Save(ctx, "c", snap(1, 1, "b", "late")), store.ErrConflict, 1, 1)
		mustSave(t, s, "c", snap(1, 2, "c", "2"))
		require.Greater(t, e.ttl(e.key("c")), 59*time.Minute)
	})
}

func TestTheNewestKeepGenerationsStay(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		for _, keep := range []int{1, 3} {
			id := fmt.Sprint("keep", keep)
			s := e.open(redisstore.Options{Keep: keep})
			for v := uint64(1); v <= 6; v++ {
				mustSave(t, s, id, snap(1, v, fmt.Sprint("w", v), fmt.Sprint(v)))
			}
			infos, err := s.History(ctx, id)
			require.NoError(t, err)
			require.Len(t, infos, keep)
			for i, info := range infos {
				require.NoError(t, info.Err)
				require.EqualValues(t, 6-i, info.Version)
				got, err := s.LoadVersion(ctx, id, info.Version)
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint(info.Version), string(got.Data))
				require.EqualValues(t, 6, got.LastVersion)
			}
			_, err = s.LoadVersion(ctx, id, 1)
			require.ErrorIs(t, err, store.ErrNotFound)
			keys, err := e.client.Keys(ctx, "*"+e.prefix+id+"*").Result()
			require.NoError(t, err)
			require.Len(t, keys, keep+1, "state, older generations, fence: %v", keys)
		}
	})
}

func TestWhatDoesNotVerifyDoesNotCountAndIsKept(t *testing.T) {
	big := strings.Repeat("x", 100<<10)
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{Keep: 2})
		for id, harm := range map[string]func(key string){"c": e.damage, "replaced": e.replace} {
			mustSave(t, s, id, snap(1, 1, "a", "1"), snap(1, 2, "b", "2"))
			harm(e.key(id))
			bad := e.get(e.key(id))
			mustSave(t, s, id, snap(1, 3, "c", "3"))
			require.Equal(t, bad, e.get(e.side(id, "x:1")))
			got, err := s.LoadVersion(ctx, id, 1)
			require.NoError(t, err, "the damaged version 2 took no place")
			require.Equal(t, "1", string(got.Data))
		}

		mustSave(t, s, "big", snap(1, 1, "a", big), snap(1, 2, "b", big))
		e.set(e.key("big"), e.get(e.key("big"))[:90<<10])
		mustSave(t, s, "big", snap(1, 3, "c", big))
		require.True(t, e.exists(e.side("big", "x:1")), "a large value of the wrong length is noticed")
	})
}

func TestAPlainJSONObjectIsReadAndUpgraded(t *testing.T) {
	const adr = ` {"words": {"hello": 3}}`
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		require.NoError(t, e.client.Set(ctx, e.key("c"), adr, time.Hour).Err())
		got := loaded(t, s, "c")
		require.Equal(t, adr, string(got.Data))
		require.Zero(t, got.Version)
		require.NoError(t, s.Claim(ctx, "c", 4))
		require.Equal(t, adr, string(loaded(t, s, "c").Data), "still there after a claim")
		mustSave(t, s, "c", snap(4, 1, "a", "new"))
		require.Equal(t, "new", string(loaded(t, s, "c").Data))
		require.Equal(t, adr, e.get(e.side("c", "g:0")))
		old, err := s.LoadVersion(ctx, "c", 0)
		require.NoError(t, err)
		require.Equal(t, adr, string(old.Data))
		require.EqualValues(t, 1, old.LastVersion)
		infos, err := s.History(ctx, "c")
		require.NoError(t, err)
		require.Len(t, infos, 2)
	})
}

func TestAPlainWriterOverOurStateCostsOneGeneration(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		mustSave(t, s, "c", snap(1, 1, "a", "1"), snap(1, 2, "b", "2"))
		e.set(e.key("c"), `{"plain": true}`)
		got := loaded(t, s, "c")
		require.EqualValues(t, 1, got.Version)
		require.EqualValues(t, 2, got.LastVersion)
		mustSave(t, s, "c", snap(1, 3, "c", "3"))
		require.Equal(t, `{"plain": true}`, e.get(e.side("c", "x:1")))
	})
}

func TestForeignValuesAreNeverOverwritten(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		for _, foreign := range []string{"hello", "{not json", "[1]", strings.Repeat("z", 200<<10)} {
			e.set(e.key("c"), foreign)
			for range 2 {
				err := s.Save(ctx, "c", snap(1, 1, "a", "x"))
				require.ErrorContains(t, err, "neither a snapshot nor a JSON object")
				require.NotErrorIs(t, err, store.ErrConflict)
			}
			require.ErrorContains(t, s.Save(ctx, "c", snap(1, 1, "a", strings.Repeat("y", 100<<10))), "left alone")
			_, err := s.Load(ctx, "c")
			require.ErrorIs(t, err, store.ErrCorrupt)
			require.Error(t, s.Delete(ctx, "c"))
			require.Equal(t, foreign, e.get(e.key("c")))
		}
	})
}

func TestOtherTypesAreNeverOverwritten(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		for _, key := range []string{e.key("c"), e.side("c", "f")} {
			require.NoError(t, e.client.RPush(ctx, key, "precious").Err())
			for _, err := range []error{
				s.Save(ctx, "c", snap(1, 1, "a", "x")), s.Save(ctx, "c", touch(1, 1, "a")), s.Claim(ctx, "c", 3), s.Delete(ctx, "c"),
				second(s.Load(ctx, "c")), second(s.History(ctx, "c")), second(s.Fence(ctx, "c")),
			} {
				require.ErrorContains(t, err, key)
				for _, not := range []error{store.ErrCorrupt, store.ErrNotFound, store.ErrLost, store.ErrConflict} {
					require.NotErrorIs(t, err, not)
				}
			}
			require.EqualValues(t, 1, e.client.LLen(ctx, key).Val())
			require.NoError(t, e.client.Del(ctx, key).Err())
		}
		require.NoError(t, e.client.RPush(ctx, e.side("l", "lease"), "precious").Err())
		require.ErrorContains(t, second(s.AcquireLease(ctx, "l", "me", time.Second, 1)), e.side("l", "lease"))
	})
}

func second[T any](_ T, err error) error { return err }

func TestDeletionFencesEveryEarlierLife(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		require.NoError(t, s.Delete(ctx, "c"), "nothing is stored")
		mustSave(t, s, "c", snap(3, 1, "a", "1"), snap(3, 2, "b", "2"))
		require.NoError(t, s.Delete(ctx, "c"))
		_, err := s.Load(ctx, "c")
		requireFence(t, err, store.ErrNotFound, 4, 2)
		requireFence(t, s.Save(ctx, "c", snap(3, 3, "c", "zombie")), store.ErrFenced, 4, 2)
		requireFence(t, s.Save(ctx, "c", snap(4, 1, "a", "ABA")), store.ErrConflict, 4, 2)
		requireFence(t, s.Save(ctx, "c", snap(3, 2, "b", "2")), store.ErrFenced, 4, 2)
		mustSave(t, s, "c", snap(4, 3, "d", "new life"))
		require.Equal(t, "new life", string(loaded(t, s, "c").Data))
		_, err = s.History(ctx, "never")
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

func TestClaimsRaiseTheEpochOnly(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		require.NoError(t, s.Claim(ctx, "new", 9))
		require.NoError(t, s.Claim(ctx, "new", 9))
		requireFence(t, s.Claim(ctx, "new", 8), store.ErrFenced, 9, 0)
		_, err := s.Load(ctx, "new")
		requireFence(t, err, store.ErrNotFound, 9, 0)
		mustSave(t, s, "new", snap(9, 1, "a", "1"))
		require.NoError(t, s.Claim(ctx, "new", 10))
		require.EqualValues(t, 1, loaded(t, s, "new").Version)
		mustSave(t, s, "new", snap(10, 2, "b", "2"))
		requireFence(t, s.Save(ctx, "new", snap(9, 2, "c", "x")), store.ErrFenced, 10, 2)
	})
}

func TestTheHeaderStandsInForALostFence(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{TTL: time.Hour})
		for i, use := range []func(id string){
			func(id string) { requireFence(t, s.Save(ctx, id, snap(6, 99, "z", "x")), store.ErrFenced, 7, 40) },
			func(id string) { requireFence(t, s.Save(ctx, id, snap(7, 40, "z", "x")), store.ErrConflict, 7, 40) },
			func(id string) { mustSave(t, s, id, snap(7, 40, "b", "2")) }, // recognised
			func(id string) { requireFence(t, s.Claim(ctx, id, 6), store.ErrFenced, 7, 40) },
			func(id string) { require.NoError(t, s.Claim(ctx, id, 7)) },
			func(id string) { mustSave(t, s, id, snap(7, 41, "c", "2")) },
			func(id string) { require.Equal(t, "2", string(loaded(t, s, id).Data)) },
			func(id string) {
				f, err := s.Fence(ctx, id)
				require.NoError(t, err)
				require.Equal(t, store.Fence{Epoch: 7, Version: 40}, f)
			},
		} {
			id := fmt.Sprint("c", i)
			mustSave(t, s, id, snap(5, 39, "a", "1"), snap(7, 40, "b", "2"))
			require.NoError(t, e.client.Del(ctx, e.side(id, "f")).Err())
			use(id)
			require.Equal(t, "2", string(loaded(t, s, id).Data))
		}
		require.NoError(t, s.Delete(ctx, "c6"))
		_, err := s.Load(ctx, "c6")
		requireFence(t, err, store.ErrNotFound, 8, 40)
	})
}

func TestLargeValuesAreStagedAndReadBack(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{Keep: 2})
		for v, size := range []int{64 << 10, 64<<10 + 1, 1 << 20, 32 << 20} {
			data := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			mustSave(t, s, "c", snap(1, uint64(v+1), "w", data))
			mustSave(t, s, "c", snap(1, uint64(v+1), "w", data))
			require.True(t, data == string(loaded(t, s, "c").Data))
		}
		require.False(t, e.exists(e.side("c", "t:w")), "nothing stays staged")
		require.ErrorIs(t, s.Save(ctx, "c", snap(1, 2, "old", strings.Repeat("x", 100<<10))), store.ErrConflict)
		require.False(t, e.exists(e.side("c", "t:old")), "also when refused")
	})
}

func TestOfManyWritersOneWinsEachVersion(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		const writers, versions = 6, 15
		stores := []*redisstore.Store{e.open(redisstore.Options{}), e.open(redisstore.Options{})}
		var mu sync.Mutex
		won := map[uint64][]int{}
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for v := uint64(1); v <= versions; v++ {
					err := stores[w%2].Save(ctx, "c", snap(1, v, fmt.Sprintf("w%dv%d", w, v), fmt.Sprint(w)))
					if err == nil {
						mu.Lock()
						won[v] = append(won[v], w)
						mu.Unlock()
					} else if !isConflict(err) {
						t.Errorf("writer %d: %v", w, err)
					}
				}
			})
		}
		wg.Wait()
		require.Len(t, won[versions], 1)
		for v, winners := range won {
			require.Len(t, winners, 1, "version %d", v)
		}
		require.Equal(t, fmt.Sprint(won[versions][0]), string(loaded(t, stores[0], "c").Data))
	})
}
