package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

// A gate holds pipelines back until it is opened, and counts components in calls
// of the batch script.
type gate struct {
	open chan struct{}
	held atomic.Int32

	mu   sync.Mutex
	most int
}

func (g *gate) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		g.held.Add(1)
		<-g.open
		for _, c := range cmds {
			if n, ok := c.Args()[2].(int); ok && strings.HasPrefix(c.Name(), "eval") {
				g.mu.Lock()
				g.most = max(g.most, n/2)
				g.mu.Unlock()
			}
		}
		return next(ctx, cmds)
	}
}

// together calls every one of calls in one batch and returns their errors.
func together(t *testing.T, e *env, calls []func(s *redisstore.Store) error, hooks ...redis.Hook) []error {
	t.Helper()
	o, err := redis.ParseURL(e.url)
	require.NoError(t, err)
	o.Protocol, o.DisableIdentity, o.ContextTimeoutEnabled = 2, true, true
	c := redis.NewClient(o)
	defer c.Close()
	g := &gate{open: make(chan struct{})}
	for _, h := range append([]redis.Hook{g}, hooks...) {
		c.AddHook(h)
	}
	s, err := redisstore.New(c, redisstore.Options{Prefix: e.prefix, TTL: time.Hour})
	require.NoError(t, err)
	defer s.Close()
	var wg sync.WaitGroup
	for i := range 2 { // whom the others wait for
		wg.Go(func() { _ = s.Claim(ctx, fmt.Sprint("first", i), 1) })
		require.Eventually(t, func() bool { return g.held.Load() == int32(i+1) }, 10*time.Second, time.Millisecond)
	}
	errs := make([]error, len(calls))
	for i, call := range calls {
		wg.Go(func() { errs[i] = call(s) })
	}
	require.Eventually(t, func() bool { return s.Waiting() == len(calls) }, 10*time.Second, time.Millisecond)
	close(g.open)
	wg.Wait()
	require.Equal(t, len(calls), g.most, "all of them in one call")
	return errs
}

// mixed prepares components and returns calls of which each has its own answer.
func mixed(t *testing.T, e *env) (calls []func(*redisstore.Store) error, check func(errs []error) string) {
	s := e.open(redisstore.Options{TTL: time.Hour})
	for _, id := range []string{"next", "fenced", "conflict", "same", "replaced", "touched", "wrong", "claimed", "late", "damaged"} {
		mustSave(t, s, id, snap(1, 1, "a", "1"))
		require.NoError(t, e.client.PExpire(ctx, e.key(id), time.Minute).Err())
	}
	require.NoError(t, s.Claim(ctx, "fenced", 9))
	require.NoError(t, s.Claim(ctx, "late", 9))
	e.replace(e.key("replaced"))
	e.damage(e.key("damaged"))
	require.NoError(t, e.client.Del(ctx, e.key("wrong")).Err())
	require.NoError(t, e.client.RPush(ctx, e.key("wrong"), "precious").Err())
	e.set(e.key("foreign"), "precious")
	save := func(id string, version uint64, w string) func(*redisstore.Store) error {
		return func(s *redisstore.Store) error { return s.Save(ctx, id, snap(1, version, w, "2")) }
	}
	calls = []func(*redisstore.Store) error{
		save("next", 2, "b"), save("fenced", 2, "b"), save("conflict", 1, "b"), save("same", 1, "a"), save("new", 5, "b"),
		save("replaced", 2, "b"), save("damaged", 2, "b"), save("wrong", 2, "b"), save("foreign", 2, "b"),
		func(s *redisstore.Store) error { return s.Save(ctx, "touched", touch(1, 1, "a")) },
		func(s *redisstore.Store) error { return s.Claim(ctx, "claimed", 4) },
		func(s *redisstore.Store) error { return s.Claim(ctx, "late", 4) },
	}
	return calls, func(errs []error) string {
		for i, want := range []error{nil, store.ErrFenced, store.ErrConflict, nil, nil, nil, nil, errAny, errAny, nil, nil, store.ErrFenced} {
			if !is(errs[i], want) {
				return fmt.Sprintf("call %d: %v instead of %v", i, errs[i], want)
			}
		}
		for id, want := range map[string]string{"next": "2", "fenced": "1", "conflict": "1", "same": "1", "new": "2", "replaced": "2", "damaged": "2", "touched": "1", "claimed": "1"} {
			got, err := s.Load(ctx, id)
			if err != nil || string(got.Data) != want {
				return fmt.Sprintf("%s: %v, %v", id, got, err)
			}
			if ttl := e.ttl(e.key(id)); id != "fenced" && id != "conflict" && id != "claimed" && id != "late" && ttl < 59*time.Minute {
				return fmt.Sprintf("%s: TTL %s", id, ttl)
			}
		}
		if f, err := s.Fence(ctx, "claimed"); err != nil || f.Epoch != 4 {
			return fmt.Sprintf("claimed: fence %v, %v", f, err)
		}
		switch {
		case e.get(e.key("foreign")) != "precious", e.client.LLen(ctx, e.key("wrong")).Val() != 1:
			return "what is not ours was overwritten"
		case !e.exists(e.side("replaced", "x:1")), !e.exists(e.side("damaged", "x:1")), !e.exists(e.side("next", "g:1")):
			return "an older state is gone"
		case e.ttl(e.side("next", "g:1")) < 59*time.Minute:
			return "an older state expires too early"
		}
		return ""
	}
}

var errAny = fmt.Errorf("any")

func is(err, want error) bool {
	if want == errAny {
		return err != nil && !isAnswer(err)
	}
	return (err == nil) == (want == nil) && (want == nil || strings.Contains(err.Error(), want.Error()))
}

func TestABatchAnswersEachComponentForItself(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		calls, check := mixed(t, e)
		require.Empty(t, check(together(t, e, calls)))
	})
}

func TestTheBatchTestCanFail(t *testing.T) {
	for name, replace := range map[string][2]string{
		"no epoch":                 {"less(e, epoch) then return", "false then return"},
		"no version":               {"if not less(version, sub(value, 33, 52)) then return 'SLOW' end", ""},
		"a refusal is no refusal":  {"return {'FENCED', epoch, version}", "return version"},
		"a conflict is no refusal": {"33, 52)) then return 'SLOW' end", "33, 52)) then return version end"},
		"replaced is not noticed":  {"return try('GETRANGE', key, '11', last) ==", "return true or"},
		"damage is not noticed":    {"if not ones or try('BITCOUNT', key, '0', '65535') ~= ones then return false end", ""},
		"foreign values are ours":  {"if try('EXISTS', KEYS[n + i], KEYS[i]) ~= 0 then return nil end", ""},
		"nothing is kept":          {"if lasts[i] then\n    local k", "if false then\n    local k"},
		"no TTL":                   {"call('SET', key, ARGV[2 * i + 2], 'PXAT', ats)", "call('SET', key, ARGV[2 * i + 2])"},
		"refreshes do nothing":     {"  alive(key, ats)\n", ""},
		"claims do nothing":        {"lines[i] = 'FENCE 2 ' .. e .. sub(rec, 29)", ""},
		"answers are mixed up":     {"return out", "local r = {} for i = 1, n do r[i] = out[n + 1 - i] end return r"},
	} {
		t.Run(name, func(t *testing.T) {
			source := strings.Replace(redisstore.BatchScriptSource, replace[0], replace[1], 1)
			require.NotEqual(t, redisstore.BatchScriptSource, source)
			found := ""
			for try := 0; found == "" && try < 5; try++ { // calls that shared no batch show nothing
				e := onReal(t)
				calls, check := mixed(t, e)
				found = check(together(t, e, calls, replaceScript{redisstore.BatchScriptSHA: source}))
			}
			require.NotEmpty(t, found, "not found out")
			t.Log(found)
		})
	}
}

func TestAFullServerRefusesTheSavesOfABatchAndKeepsTheRestAlive(t *testing.T) {
	e := newEnv(t, redistest.Start(t, "--maxmemory", "6mb", "--maxmemory-policy", "noeviction").URL(), nil)
	s := e.open(redisstore.Options{TTL: time.Hour})
	var calls []func(*redisstore.Store) error
	for i := range 10 {
		id := fmt.Sprint("c", i)
		mustSave(t, s, id, snap(1, 1, "a", "1"))
		require.NoError(t, e.client.PExpire(ctx, e.key(id), time.Minute).Err())
		if i%2 == 0 {
			calls = append(calls, func(s *redisstore.Store) error { return s.Save(ctx, id, touch(1, 1, "a")) })
		} else {
			calls = append(calls, func(s *redisstore.Store) error { return s.Save(ctx, id, snap(1, 2, "b", "2")) })
		}
	}
	_ = s.Claim(ctx, "first0", 1) // so that the server knows the script
	fill(t, e)
	for i, err := range together(t, e, calls) {
		id := fmt.Sprint("c", i)
		require.Equal(t, "1", string(loaded(t, s, id).Data))
		if i%2 == 0 {
			require.NoError(t, err)
			require.Greater(t, e.ttl(e.key(id)), 59*time.Minute)
		} else {
			require.ErrorContains(t, err, "maxmemory")
			require.Less(t, e.ttl(e.key(id)), 2*time.Minute, "left alone")
		}
	}
}

func TestAFenceOfTheFormerFormatIsReadAndReplaced(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{TTL: time.Hour})
		uses := map[string]func(id string){
			"load":  func(id string) { require.EqualValues(t, 2, loaded(t, s, id).LastVersion) },
			"claim": func(id string) { require.NoError(t, s.Claim(ctx, id, 7)) },
			"save":  func(id string) { mustSave(t, s, id, snap(5, 3, "c", "3")) },
			"touch": func(id string) { mustSave(t, s, id, touch(5, 2, "b")) },
			"lower": func(id string) { requireFence(t, s.Save(ctx, id, snap(4, 3, "c", "3")), store.ErrFenced, 5, 2) },
			"same":  func(id string) { requireFence(t, s.Save(ctx, id, snap(5, 2, "c", "3")), store.ErrConflict, 5, 2) },
		}
		for id, use := range uses {
			mustSave(t, s, id, snap(5, 1, "a", "1"), snap(5, 2, "b", "2"))
			former(t, e, id)
			f, err := s.Fence(ctx, id)
			require.NoError(t, err)
			require.Equal(t, store.Fence{Epoch: 5, Version: 2}, f)
			use(id)
			infos, err := s.History(ctx, id)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(infos), 2)
			require.EqualValues(t, 1, infos[len(infos)-1].Version, "the older generation is still known")
			if id == "claim" || id == "save" || id == "touch" {
				require.Equal(t, "string", e.client.Type(ctx, e.side(id, "f")).Val())
				require.EqualValues(t, -1, e.ttl(e.side(id, "f")))
			}
		}
		mustSave(t, s, "gone", snap(5, 1, "a", "1"))
		former(t, e, "gone")
		require.NoError(t, e.client.Del(ctx, e.key("gone")).Err())
		_, err := s.Load(ctx, "gone")
		requireFence(t, err, store.ErrLost, 5, 1)
		var ids []string
		for id, err := range s.List(ctx) {
			require.NoError(t, err)
			ids = append(ids, id)
		}
		require.ElementsMatch(t, []string{"load", "claim", "save", "touch", "lower", "same", "gone"}, ids)
		require.NoError(t, s.Delete(ctx, "load"))
		requireFence(t, s.Save(ctx, "load", snap(5, 9, "z", "z")), store.ErrFenced, 6, 2)
	})
}

// former puts the hash that fences were before format 2 in the place of id's.
func former(t *testing.T, e *env, id string) {
	t.Helper()
	line := e.get(e.side(id, "f"))
	f := strings.Split(line[:154], " ")
	attempt, list, _ := strings.Cut(line[155:], "|")
	zeros := func(s string) string {
		if s = strings.TrimLeft(s, "0"); s == "" {
			return "0"
		}
		return s
	}
	require.NoError(t, e.client.Del(ctx, e.side(id, "f")).Err())
	require.NoError(t, e.client.HSet(ctx, e.side(id, "f"), "format", "1", "epoch", f[2], "version", f[3], "attempt", attempt,
		"state", map[string]string{"s": "saved", "d": "deleted", "n": "none"}[f[4]], "expires", zeros(f[6]), "generations", list,
		"sha1", f[8], "length", zeros(f[5]), "quarantined", zeros(f[7]), "call", f[9], "op", strings.Trim(f[10], "-")).Err())
}
