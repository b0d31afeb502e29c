package redisstore_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

func TestATakeoverClaimsAndLoadsManyAtATime(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{TTL: time.Hour})
		var ids []string
		for i := range 100 {
			ids = append(ids, fmt.Sprint("c ", i))
			mustSave(t, s, ids[i], snap(1, 1, "a", fmt.Sprint(i)), snap(1, 2, "b", fmt.Sprint(2*i)))
		}
		ttl := e.ttl(e.key("c%201"))
		require.NoError(t, e.client.ScriptFlush(ctx).Err())
		for range 2 { // the second time there is nothing to raise
			for i, got := range s.TakeOver(ctx, ids, 7) {
				require.NotNil(t, got, ids[i])
				require.Equal(t, loaded(t, s, ids[i]), got)
				requireFence(t, s.Save(ctx, ids[i], snap(6, 3, "c", "late")), store.ErrFenced, 7, 2)
			}
		}
		require.LessOrEqual(t, e.ttl(e.key("c%201")), ttl, "a load does not prolong")
		require.EqualValues(t, -1, e.ttl(e.side("c%201", "f")), "a fence has no TTL")
		mustSave(t, s, ids[3], snap(7, 3, "c", "next"))
		require.Equal(t, "next", string(s.TakeOver(ctx, ids[3:4], 7)[0].Data))
		require.Empty(t, s.TakeOver(ctx, nil, 7))
		require.NoError(t, s.Close())
		require.Equal(t, []*store.Snapshot{nil}, s.TakeOver(ctx, ids[:1], 7))
	})
}

const high = uint64(1) << 61

// unusual prepares a component for each thing that a takeover must leave to Claim
// and Load, and a plain one, and checks what it made of them.
func unusual(t *testing.T, e *env) (ids []string, check func(got []*store.Snapshot) string) {
	s := e.open(redisstore.Options{TTL: time.Hour})
	ids = []string{"plain", "fenced", "close", "damaged", "replaced", "gone", "deleted", "alien", "list", "torn", "newer", "former", "plainly", "never"}
	for _, id := range ids[:len(ids)-2] {
		mustSave(t, s, id, snap(1, 1, "a", "1"), snap(1, 2, "b", "2"))
	}
	require.NoError(t, s.Claim(ctx, "fenced", math.MaxUint64))
	require.NoError(t, s.Claim(ctx, "close", high+1)) // the same as a float
	e.damage(e.key("damaged"))
	e.replace(e.key("replaced"))
	require.NoError(t, e.client.Del(ctx, e.key("gone"), e.key("alien"), e.key("list")).Err())
	require.NoError(t, s.Delete(ctx, "deleted"))
	e.set(e.key("alien"), "precious")
	require.NoError(t, e.client.RPush(ctx, e.key("list"), "precious").Err())
	torn := e.get(e.side("torn", "f"))
	e.set(e.side("torn", "f"), torn[:20])
	newer := strings.Replace(e.get(e.side("newer", "f")), "FENCE 2", "FENCE 3", 1)
	e.set(e.side("newer", "f"), newer)
	former(t, e, "former")
	e.set(e.key("plainly"), `{"n":1}`)
	require.NoError(t, s.Claim(ctx, "plainly", 1))
	return ids, func(got []*store.Snapshot) string {
		for i, id := range ids {
			if (got[i] != nil) != (id == "plain") {
				return fmt.Sprintf("%s: %v", id, got[i])
			}
		}
		for id, want := range map[string]uint64{"plain": high, "fenced": math.MaxUint64, "close": high + 1, "deleted": 2, "former": 1, "plainly": 1, "never": 0} {
			if f, err := s.Fence(ctx, id); err != nil || f.Epoch != want {
				return fmt.Sprintf("%s: fence %v, %v", id, f, err)
			}
		}
		if e.get(e.side("torn", "f")) != torn[:20] || e.get(e.side("newer", "f")) != newer {
			return "what cannot be read was written"
		}
		return ""
	}
}

func TestATakeoverLeavesTheUnusualToOthers(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ids, check := unusual(t, e)
		s := e.open(redisstore.Options{TTL: time.Hour})
		require.Empty(t, check(s.TakeOver(ctx, ids, high)))
		for id, want := range map[string]error{"damaged": nil, "replaced": nil, "gone": store.ErrLost, "deleted": store.ErrNotFound,
			"alien": nil, "never": store.ErrNotFound, "plainly": nil, "newer": store.ErrTooNew, "former": nil} {
			_, err := s.Load(ctx, id)
			require.ErrorIs(t, err, want, id)
		}
	})
}

func TestTheTakeoverTestCanFail(t *testing.T) {
	for name, replace := range map[string][2]string{
		"no epoch":              {"and theirs < mine", ""},
		"equal floats are less": {"theirs < mine", "theirs <= mine"},
		"any type will do":      {"fields ~= 63", "false"},
		"all were saved":        {"%d+ %d+ s ", "%d+ %d+ [sdn] "},
		"claims do nothing":     {"type(try('SETRANGE', fence, '8', epoch)) ~= 'number'", "false"},
		"any format will do":    {"'^FENCE 2 ", "'^FENCE . "},
	} {
		t.Run(name, func(t *testing.T) {
			source := strings.Replace(redisstore.ClaimsScriptSource, replace[0], replace[1], 1)
			require.NotEqual(t, redisstore.ClaimsScriptSource, source)
			e := onReal(t)
			ids, check := unusual(t, e)
			c := redis.NewClient(e.client.Options())
			defer c.Close()
			c.AddHook(replaceScript{redisstore.ClaimsScriptSHA: source})
			s, err := redisstore.New(c, redisstore.Options{Prefix: e.prefix})
			require.NoError(t, err)
			found := check(s.TakeOver(ctx, ids, high))
			require.NotEmpty(t, found, "not found out")
			t.Log(found)
		})
	}
}

func TestATakeoverNoticesARollback(t *testing.T) {
	e := onReal(t)
	s := e.open(redisstore.Options{})
	mustSave(t, s, "c", snap(1, 1, "a", "1"))
	state, fence := e.get(e.key("c")), e.get(e.side("c", "f"))
	mustSave(t, s, "c", snap(1, 2, "b", "2"))
	require.EqualValues(t, 2, s.TakeOver(ctx, []string{"c"}, 1)[0].Version)
	require.Empty(t, s.Rollback("c"))
	e.set(e.key("c"), state)
	e.set(e.side("c", "f"), fence)
	require.EqualValues(t, 1, s.TakeOver(ctx, []string{"c"}, 1)[0].Version)
	require.Contains(t, s.Rollback("c"), "version 2")
	require.NotZero(t, s.Losses())
}

func TestATakeoverFromAReplicaIsNone(t *testing.T) {
	primary := redistest.Start(t)
	e := newEnv(t, primary.URL(), nil)
	mustSave(t, e.open(redisstore.Options{}), "c", snap(1, 1, "a", "1"))
	replica := startReplica(t, primary)
	require.Eventually(t, func() bool { return replica.Client(t).Exists(ctx, e.key("c")).Val() == 1 }, 10*time.Second, time.Millisecond)
	s, err := redisstore.New(replica.Client(t), redisstore.Options{Prefix: e.prefix}) // a client of the caller's, who did not look
	require.NoError(t, err)
	defer s.Close()
	require.Nil(t, s.TakeOver(ctx, []string{"c"}, 1)[0], "the epoch is that of the fence, so nothing would be written")
}

func TestATakeoverIsAsDurableAsConfigured(t *testing.T) {
	t.Parallel()
	e := newEnv(t, redistest.Start(t).URL(), nil)
	mustSave(t, e.open(redisstore.Options{}), "c", snap(1, 1, "a", "1"))
	alone := e.open(redisstore.Options{Durability: "replicated:1"})
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	require.Nil(t, alone.TakeOver(ctx, []string{"c"}, 2)[0], "no replica has the claim")
	require.NotNil(t, e.open(redisstore.Options{}).TakeOver(ctx, []string{"c"}, 3)[0])
}

func TestATakeoverWithoutTheRightToItIsNone(t *testing.T) {
	srv := redistest.Start(t)
	e := newEnv(t, srv.URL(), nil)
	mustSave(t, e.open(redisstore.Options{}), "c", snap(1, 1, "a", "1"))
	require.NoError(t, e.client.Do(ctx, "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-setrange").Err())
	s, err := redisstore.Open(strings.Replace(srv.URL(), "redis://", "redis://app:pw@", 1), redisstore.Options{Prefix: e.prefix})
	require.NoError(t, err)
	defer s.Close()
	require.Nil(t, s.TakeOver(ctx, []string{"c"}, 2)[0])
	require.NoError(t, s.Claim(ctx, "c", 2), "the rights of earlier versions suffice")
	require.Equal(t, "1", string(loaded(t, s, "c").Data))
}

func TestLargeStatesAreClaimedButNotReadTogether(t *testing.T) {
	srv := redistest.Start(t)
	e := newEnv(t, srv.URL(), nil)
	s := e.open(redisstore.Options{})
	mustSave(t, s, "small", snap(1, 1, "a", "1"))
	mustSave(t, s, "large", snap(1, 1, "a", strings.Repeat("x", 40<<10)))
	mustSave(t, s, "alien", snap(1, 1, "a", "1"))
	e.set(e.key("alien"), strings.Repeat("x", 40<<10))
	before := srv.CommandCount(t, "mget")
	got := s.TakeOver(ctx, []string{"large", "small", "alien"}, 2)
	require.Equal(t, []bool{false, true, false}, []bool{got[0] != nil, got[1] != nil, got[2] != nil})
	require.Nil(t, s.TakeOver(ctx, []string{"large"}, 3)[0])
	require.Nil(t, s.TakeOver(ctx, []string{"alien"}, 3)[0])
	require.Equal(t, before+1, srv.CommandCount(t, "mget"), "values of any length would be read at once")
	f, err := s.Fence(ctx, "large")
	require.NoError(t, err)
	require.Equal(t, store.Fence{Epoch: 3, Version: 1}, f)
}

func TestWhereStatesAreLargeTheyAreNotTakenOver(t *testing.T) {
	e := onReal(t)
	s := e.open(redisstore.Options{})
	mustSave(t, s, "small", snap(1, 1, "a", "1"))
	mustSave(t, s, "large", snap(1, 1, "a", strings.Repeat("x", 40<<10)))
	_ = loaded(t, s, "large")
	require.Nil(t, s.TakeOver(ctx, []string{"small"}, 1)[0])
	_ = loaded(t, s, "small")
	require.NotNil(t, s.TakeOver(ctx, []string{"small"}, 1)[0], "what is read now is small")
}

// betweenSteps runs before the states of a takeover are read.
type betweenSteps func()

func (f betweenSteps) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (f betweenSteps) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (f betweenSteps) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[len(cmds)-1].Name() == "mget" {
			f()
		}
		return next(ctx, cmds)
	}
}

func TestATakeoverWhoseClaimIsNotInForceAnyMoreIsNone(t *testing.T) {
	e := onReal(t)
	other := e.open(redisstore.Options{})
	for name, meanwhile := range map[string]func(fence string){
		"a failover lost it":   func(fence string) { e.set(e.side("c", "f"), fence) },
		"somebody is above it": func(string) { require.NoError(t, other.Claim(ctx, "c", 9)) },
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, e.client.Del(ctx, e.key("c"), e.side("c", "f")).Err())
			mustSave(t, other, "c", snap(1, 1, "a", "1"))
			fence := e.get(e.side("c", "f"))
			c := redis.NewClient(e.client.Options())
			defer c.Close()
			c.AddHook(betweenSteps(func() { meanwhile(fence) }))
			s, err := redisstore.New(c, redisstore.Options{Prefix: e.prefix})
			require.NoError(t, err)
			defer s.Close()
			require.Nil(t, s.TakeOver(ctx, []string{"c"}, 7)[0])
		})
	}
}
