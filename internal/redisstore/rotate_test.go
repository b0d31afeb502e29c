package redisstore_test

import (
	"crypto/sha1"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

// lives returns until when the fence of id says that older generations live.
func (e *env) lives(id string) time.Duration {
	e.t.Helper()
	sums := strings.Split(e.get(e.side(id, "f")), " ")[8]
	require.Len(e.t, sums, 40)
	ms, _, _ := strings.Cut(sums, "-")
	require.Len(e.t, ms, 13)
	var until int64
	_, err := fmt.Sscan(ms, &until)
	require.NoError(e.t, err)
	return time.Until(time.UnixMilli(until))
}

// ago puts the fence of id back to where it was that long ago, and the TTLs of the
// older generations with it.
func (e *env) ago(id string, d time.Duration, versions ...int) {
	e.t.Helper()
	line := e.get(e.side(id, "f"))
	until := time.Now().Add(e.lives(id) - d).UnixMilli()
	e.set(e.side(id, "f"), line[:88]+fmt.Sprint(until)+line[101:])
	for _, v := range versions {
		k := e.side(id, fmt.Sprint("g:", v))
		require.NoError(e.t, e.client.PExpire(ctx, k, e.ttl(k)-d).Err())
	}
}

// saving are the ways a save can take: through the batch script or its own.
var saving = map[string]string{"batch": "x", "alone": strings.Repeat("x", 100<<10)}

func TestAnOlderGenerationLivesAtLeastTheTTLAfterEverySave(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		for way, data := range saving {
			s := e.open(redisstore.Options{TTL: time.Hour, Keep: 4})
			for v := 1; v <= 20; v++ {
				mustSave(t, s, way, snap(1, uint64(v), fmt.Sprint("w", v), data))
				require.InDelta(t, time.Hour, e.ttl(e.key(way)), float64(time.Minute), "the state itself expires after the TTL")
				var older []int
				for g := max(1, v-3); g < v; g++ {
					left := e.ttl(e.side(way, fmt.Sprint("g:", g)))
					require.Greater(t, left, 59*time.Minute, "version %d, after the save of %d", g, v)
					require.Less(t, left, 121*time.Minute, "nothing lives much longer")
					require.GreaterOrEqual(t, left, e.lives(way)-time.Minute, "the fence does not promise more")
					older = append(older, g)
				}
				if v > 1 {
					e.ago(way, 25*time.Minute, older...)
				}
			}
		}
	})
}

func TestOlderGenerationsTakeOverWhateverTTLIsConfigured(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		for way, data := range saving {
			version := uint64(0)
			save := func(ttl time.Duration) {
				version++
				mustSave(t, e.open(redisstore.Options{TTL: ttl}), way, snap(1, version, "w", data))
			}
			older := func() []time.Duration {
				return []time.Duration{e.ttl(e.side(way, fmt.Sprint("g:", version-1))), e.ttl(e.side(way, fmt.Sprint("g:", version-2)))}
			}
			for range 3 {
				save(time.Hour)
			}
			for _, ttl := range []time.Duration{24 * time.Hour, time.Minute} {
				save(ttl)
				for _, left := range older() {
					require.InDelta(t, 2*ttl, left, float64(ttl)/10)
				}
			}
			save(0)
			require.Equal(t, []time.Duration{-1, -1}, older(), "without a TTL nothing expires")
			save(0)
			require.Equal(t, []time.Duration{-1, -1}, older())
			save(time.Hour)
			for _, left := range older() {
				require.Greater(t, left, time.Hour, "with a TTL nothing lives for ever")
			}
		}
	})
}

func TestAFenceThatDoesNotSayHowLongGenerationsLiveHasThemRefreshed(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{TTL: time.Hour})
		for _, id := range []string{"sha1", "nothing", "other"} {
			mustSave(t, s, id, snap(1, 1, "a", "1"), snap(1, 2, "b", "2"))
			line := e.get(e.side(id, "f"))
			digest := map[string]string{"sha1": fmt.Sprintf("%x", sha1.Sum([]byte(e.get(e.key(id))))), "nothing": strings.Repeat("-", 40),
				"other": strings.Repeat("1", 40)}[id]
			e.set(e.side(id, "f"), line[:88]+digest+line[128:])
			require.NoError(t, e.client.PExpire(ctx, e.side(id, "g:1"), time.Minute).Err())
			mustSave(t, s, id, snap(1, 3, "c", "3"))
			require.Greater(t, e.ttl(e.side(id, "g:1")), time.Hour)
			require.Greater(t, e.lives(id), time.Hour)
			require.Equal(t, id == "other", e.exists(e.side(id, "x:1")), "the digest is compared where it stands")
		}
	})
}

func TestGenerationsThatOutliveAnExpiredStateAreNeverItsSuccessors(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		for way, data := range saving {
			s := e.open(redisstore.Options{TTL: time.Hour})
			mustSave(t, s, way, snap(1, 1, "a", data), snap(1, 2, "b", data), snap(1, 3, "c", data))
			redistest.Expire(t, e.client, e.key(way))
			require.True(t, e.exists(e.side(way, "g:2")))
			requireFence(t, second(s.Load(ctx, way)), store.ErrExpired, 1, 3)
			mustSave(t, s, way, snap(1, 4, "d", data))
			require.False(t, e.exists(e.side(way, "g:2")))
			e.damage(e.key(way))
			requireFence(t, second(s.Load(ctx, way)), store.ErrCorrupt, 1, 4)
		}
	})
}

// swap exchanges two bytes of the state, which no count of bits notices.
func (e *env) swap(key string) {
	e.t.Helper()
	v := []byte(e.get(key))
	n := len(v)
	require.NotEqual(e.t, v[n-1], v[n-2])
	v[n-1], v[n-2] = v[n-2], v[n-1]
	e.set(key, string(v))
}

func TestDamageThatASaveDoesNotNoticeIsFoundWhenTheGenerationIsRead(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		mustSave(t, s, "c", snap(1, 1, "a", "1"), snap(1, 2, "b", "22-"))
		e.swap(e.key("c"))
		mustSave(t, s, "c", snap(1, 3, "c", "3"))
		require.Equal(t, "3", string(loaded(t, s, "c").Data))
		require.ErrorIs(t, second(s.LoadVersion(ctx, "c", 2)), store.ErrCorrupt)
		e.damage(e.key("c"))
		got := loaded(t, s, "c")
		require.EqualValues(t, 1, got.Version, "never the damaged one")
		require.True(t, e.exists(e.side("c", "x:1")))
	})
}

func TestADamagedStateThatWasSeenTakesNoPlaceAmongTheGenerations(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{Keep: 2})
		for id, see := range map[string]func(id string){
			"load":    func(id string) { require.EqualValues(t, 1, loaded(t, s, id).Version) },
			"history": func(id string) { require.NoError(t, second(s.History(ctx, id))) },
		} {
			mustSave(t, s, id, snap(1, 1, "a", "1"), snap(1, 2, "b", "22-"))
			e.swap(e.key(id))
			see(id)
			mustSave(t, s, id, snap(1, 3, "c", "3"))
			require.Equal(t, "1", string(version(t, s, id, 1).Data))
			require.True(t, e.exists(e.side(id, "x:1")))
			mustSave(t, s, id, snap(1, 4, "d", "4"), snap(1, 5, "e", "5"))
			require.Equal(t, "4", string(version(t, s, id, 4).Data), "saved as ever after that")
		}
	})
}

func version(t *testing.T, s *redisstore.Store, id string, v uint64) *store.Snapshot {
	t.Helper()
	got, err := s.LoadVersion(ctx, id, v)
	require.NoError(t, err)
	return got
}

func TestARepeatWithOtherBytesLeavesASoundCopyAlone(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		first := snap(1, 1, "a", "1")
		mustSave(t, s, "c", first)
		stored := e.get(e.key("c"))
		again := *first
		again.SavedAt = again.SavedAt.Add(time.Hour)
		mustSave(t, s, "c", &again)
		require.Equal(t, stored, e.get(e.key("c")))
		require.False(t, e.exists(e.side("c", "x:1")))
	})
}

func TestTheSameComponentTwiceInABatchIsSavedTwice(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{TTL: time.Hour})
		mustSave(t, s, "c", snap(1, 1, "a", "1"), snap(1, 2, "b", "2"))
		save := func(v uint64) func(*redisstore.Store) error {
			return func(s *redisstore.Store) error {
				return s.Save(ctx, "c", snap(1, v, fmt.Sprint("w", v), fmt.Sprint(v)))
			}
		}
		errs := together(t, e, []func(*redisstore.Store) error{save(3), save(4), save(5),
			func(s *redisstore.Store) error { return s.Claim(ctx, "c", 1) },
			func(s *redisstore.Store) error { return s.Save(ctx, "c", touch(1, 2, "b")) }})
		saved := uint64(2)
		for i, v := range []uint64{3, 4, 5} {
			if errs[i] == nil {
				saved = max(saved, v)
			} else {
				require.ErrorIs(t, errs[i], store.ErrConflict, "it came behind a newer one")
			}
		}
		require.EqualValues(t, 5, saved)
		require.Equal(t, "5", string(loaded(t, s, "c").Data))
		infos, err := s.History(ctx, "c")
		require.NoError(t, err)
		require.Greater(t, len(infos), 1)
		for i, info := range infos {
			require.NoError(t, info.Err)
			require.True(t, i == 0 || info.Version < infos[i-1].Version)
		}
	})
}

func TestASaveThatCannotBePutInPlaceTakesItsFenceBack(t *testing.T) {
	srv := redistest.Start(t)
	e := newEnv(t, srv.URL(), nil)
	s := e.open(redisstore.Options{TTL: time.Hour})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	for _, lacks := range []string{"-rename", "-set"} {
		require.NoError(t, e.client.Do(ctx, "ACL", "SETUSER", "u"+lacks, "on", ">secret", "~*", "+@all", lacks).Err())
		u, err := redisstore.Open("redis://u"+lacks+":secret@"+srv.Addr, redisstore.Options{Prefix: e.prefix, TTL: time.Hour})
		require.NoError(t, err)
		defer u.Close()
		require.ErrorContains(t, u.Save(ctx, "c", snap(1, 2, "b", "2")), "command")
		f, err := s.Fence(ctx, "c")
		require.NoError(t, err)
		require.Equal(t, store.Fence{Epoch: 1, Version: 1}, f, lacks)
		require.Equal(t, "1", string(loaded(t, s, "c").Data))
	}
	mustSave(t, s, "c", snap(1, 2, "c", "2"))
	require.Equal(t, "2", string(loaded(t, s, "c").Data))
}
