package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

func TestALargeSaveIsFewCommands(t *testing.T) {
	e := newEnv(t, redistest.Start(t).URL(), nil)
	s := e.open(redisstore.Options{TTL: time.Hour})
	save := func(v int) { mustSave(t, s, "c", snap(1, uint64(v), fmt.Sprint("w", v), saving["alone"])) }
	processed := regexp.MustCompile(`total_commands_processed:(\d+)`)
	count := func() (n int) {
		_, err := fmt.Sscan(processed.FindStringSubmatch(e.client.Info(ctx, "stats").Val())[1], &n)
		require.NoError(t, err)
		return n
	}
	for v := range 4 {
		save(v + 1)
	}
	before := count()
	for v := range 10 {
		save(v + 5)
	}
	require.Equal(t, 10*14+1, count()-before, "SET, EVALSHA and twelve in the script, and the question itself")
}

func TestLargeAndSmallSavesAreFencedAlike(t *testing.T) {
	e := onReal(t)
	for seed := range uint64(20) {
		small, large := random(e, seed, "batch"), random(e, seed, "alone")
		for i := range small {
			require.Equal(t, small[i], large[i], "seed %d, call %d", seed, i)
		}
	}
}

// random makes random calls about a component that saves in one of the ways, and
// returns what came of each.
func random(e *env, seed uint64, way string) (log []string) {
	r, id := rand.New(rand.NewPCG(seed, 0)), fmt.Sprint(way, seed)
	epoch, version := uint64(1), uint64(0)
	last := snap(epoch, version+1, "w", saving[way])
	for range 60 {
		s := e.open(redisstore.Options{TTL: []time.Duration{0, time.Hour, 3 * time.Hour}[r.IntN(3)], Keep: 1 + r.IntN(4)})
		var err error
		what := r.IntN(24)
		switch what {
		case 0:
			epoch++
			err = s.Claim(ctx, id, epoch)
		case 1:
			err = s.Save(ctx, id, touch(epoch, version, last.WriteID))
		case 2:
			e.client.Del(ctx, e.key(id))
		case 3:
			if at := r.IntN(85); e.exists(e.key(id)) {
				e.client.SetRange(ctx, e.key(id), int64(at), "\x00")
			}
		case 4:
			err = s.Save(ctx, id, snap(epoch-1, version+1, "stale", saving[way]))
		case 5:
			err = s.Save(ctx, id, snap(epoch, version, "other", saving[way]))
		case 6:
			err = s.Save(ctx, id, last)
		case 7:
			err = s.Delete(ctx, id)
			epoch++
		default:
			version++
			last = snap(epoch, version, fmt.Sprint("w", version), saving[way])
			err = s.Save(ctx, id, last)
		}
		_ = s.Close()
		log = append(log, fmt.Sprintln(what, kindOf(err), e.story(id)))
	}
	return log
}

var callName = regexp.MustCompile(`,[0-9a-f]{12}`)

// story tells what the fence of id says and which keys there are for how long, but for
// the lengths of values and the names of calls.
func (e *env) story(id string) string {
	e.t.Helper()
	fence, _ := e.client.Get(ctx, e.side(id, "f")).Result()
	keys := e.client.Keys(ctx, "*"+e.prefix+id+"*").Val()
	slices.Sort(keys)
	var told []string
	for _, k := range keys {
		told = append(told, strings.ReplaceAll(k, id, "c"), e.client.PTTL(ctx, k).Val().Round(30*time.Minute).String())
	}
	if len(fence) > 155 {
		deleted := fence[142:154] != strings.Repeat("-", 12)
		fence = fmt.Sprint(fence[:52], fence[76:88], deleted, callName.ReplaceAllString(fence[155:], ""))
	}
	return strings.Join(append(told, fence), "\n")
}

func kindOf(err error) error {
	for _, kind := range []error{store.ErrFenced, store.ErrConflict, store.ErrLost, store.ErrCorrupt, store.ErrNotFound, store.ErrExpired} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return err
}

func TestALargeSaveKeepsNothingThatItsFenceDoesNotVouchFor(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{TTL: time.Hour})
		mustSave(t, s, "grown", snap(1, 1, "a", "small"))
		e.damage(e.key("grown"))
		mustSave(t, s, "grown", snap(1, 2, "b", saving["alone"]))
		require.True(t, e.exists(e.side("grown", "x:1")), "bits of a small state are counted before a large one")
		require.False(t, e.exists(e.side("grown", "g:1")))

		mustSave(t, s, "old", snap(1, 1, "a", saving["alone"]), snap(1, 2, "b", saving["alone"]))
		line := e.get(e.side("old", "f"))
		digest := fmt.Sprint(time.Now().Add(90*time.Minute).UnixMilli(), strings.Repeat("1", 27))
		e.set(e.side("old", "f"), line[:88]+digest+line[128:])
		require.NoError(t, e.client.PExpire(ctx, e.side("old", "g:1"), time.Minute).Err())
		mustSave(t, s, "old", snap(1, 3, "c", saving["alone"]))
		require.Greater(t, e.ttl(e.side("old", "g:1")), time.Hour, "a digest is no time")
	})
}

func TestALargeSaveAfterACollectionMakesNoNewBuffer(t *testing.T) {
	s := onReal(t).open(redisstore.Options{})
	state := snap(1, 0, "w", strings.Repeat("x", 1<<20))
	allocated := func() (sum uint64) {
		for range 5 {
			runtime.GC()
			runtime.GC() // what a pool holds lives through one
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			state.Version++
			mustSave(t, s, "c", state)
			runtime.ReadMemStats(&after)
			sum += after.TotalAlloc - before.TotalAlloc
		}
		return sum
	}
	allocated()
	require.Less(t, allocated(), uint64(1<<20), "of five saves")
}

func TestALargeSaveEndsWithItsContextWhileTheServerIsFrozen(t *testing.T) {
	srv := redistest.Start(t)
	s := newEnv(t, srv.URL(), nil).open(redisstore.Options{})
	large := strings.Repeat("x", 1<<20)
	mustSave(t, s, "c", snap(1, 1, "a", large))
	srv.Stop()
	cancelled, cancel := context.WithCancel(ctx)
	limited, stop := context.WithTimeout(ctx, 200*time.Millisecond)
	defer stop()
	results := make(chan error)
	go func() { results <- s.Save(cancelled, "c", snap(1, 2, "b", large)) }()
	cancel()
	require.ErrorIs(t, <-results, context.Canceled)
	for range 4 { // more than travel at a time
		go func() { results <- s.Save(limited, "c", snap(1, 2, "b", large)) }()
	}
	for range 4 {
		require.ErrorIs(t, <-results, context.DeadlineExceeded)
	}
	srv.Cont()
	require.Eventually(t, func() bool { return s.Save(ctx, "c", snap(1, 3, "c", large)) == nil }, 20*time.Second, 10*time.Millisecond)
	require.EqualValues(t, 3, loaded(t, s, "c").Version)
}
