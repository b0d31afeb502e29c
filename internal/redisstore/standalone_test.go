package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/faultproxy"
	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

// many returns how often a fault of the network is injected.
func many() int {
	if faultsMode() {
		return 200
	}
	return 10
}

// behind returns a server, a proxy in front of it, and the proxy's URL.
func behind(t *testing.T, args ...string) (*redistest.Server, *faultproxy.Proxy, string) {
	srv := redistest.Start(t, args...)
	p, err := faultproxy.Start(srv.Addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return srv, p, "redis://" + p.Addr()
}

func TestAccidentsOfTheNetworkUnderASteadyOwner(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		n     int
		name  string
		fault faultproxy.Fault
	}{
		{1, "reply lost after execution", faultproxy.LoseReply},
		{1, "connection cut before delivery", faultproxy.Cut},
		{2, "request delivered late", faultproxy.Hold},
	} {
		_, p, u := behind(t)
		w := startSteady(t, u, redisstore.Options{})
		var longest time.Duration
		for range many() {
			p.Next("evalsha", f.fault, nil)
			require.Eventually(t, p.Struck, 60*time.Second, time.Millisecond)
			longest = max(longest, w.awaitAck())
			_, err := p.Late(false)
			require.NoError(t, err)
		}
		w.end(f.n, f.name, many(), longest, "")
	}
}

func TestASilentOrRefusedConnectionUnderASteadyOwner(t *testing.T) {
	t.Parallel()
	_, p, u := behind(t)
	w := startSteady(t, u, redisstore.Options{})
	p.Next("evalsha", faultproxy.Stall, nil)
	require.Eventually(t, p.Struck, 60*time.Second, time.Millisecond)
	w.awaitAck()
	p.Freeze()
	w.awaitFailure()
	p.Thaw()
	again := w.awaitAck()
	p.Refuse()
	w.awaitFailure()
	require.Eventually(t, func() bool { return p.Accept() == nil }, 60*time.Second, time.Millisecond)
	again = max(again, w.awaitAck())
	w.end(18, "half-open, blackholed and refused connections", 3, again, "")
}

// awaitFailure returns once another save has failed.
func (w *steady) awaitFailure() {
	w.t.Helper()
	count := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.failed
	}
	before := count()
	require.Eventually(w.t, func() bool { return count() > before }, 60*time.Second, 2*time.Millisecond)
}

func TestAServerThatIsKilledFrozenAndFlushedUnderASteadyOwner(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always", "--key-load-delay", "200")
	c := srv.Client(t)
	for i := range 2000 {
		require.NoError(t, c.Set(ctx, fmt.Sprint("filler", i), "x", 0).Err())
	}
	w := startSteady(t, srv.URL(), redisstore.Options{Durability: "fsync"})
	srv.Kill()
	w.awaitFailure()
	srv.Restart()
	again := w.awaitAck()
	srv.Stop()
	w.awaitFailure()
	srv.Cont()
	again = max(again, w.awaitAck())
	w.end(5, "killed, restarted with its AOF while loading, frozen; fsync", 2, again, "")

	w = startSteady(t, srv.URL(), redisstore.Options{Prefix: "flush:", Durability: "fsync"})
	again = 0
	for range many() {
		require.NoError(t, c.ScriptFlush(ctx).Err())
		again = max(again, w.awaitAck())
	}
	w.end(9, "SCRIPT FLUSH", many(), again, "")
}

func TestAServerThatForgetsEverythingUnderASteadyOwner(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	w := startSteady(t, srv.URL(), redisstore.Options{})
	w.mayVanish()
	require.NoError(t, srv.Client(t).FlushAll(ctx).Err())
	again := w.awaitAck()
	srv.Kill()
	srv.Restart()
	again = max(again, w.awaitAck())
	require.NoError(t, srv.Client(t).Del(ctx, "steady:c").Err())
	w.awaitAck()
	w.end(13, "FLUSHALL, empty restart, eviction; memory", 3, again, "nothing is persisted")
	require.Equal(t, "error", audit(t, w.s)["rollback"])
}

func TestAServerThatRefusesWritesUnderASteadyOwner(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
	e := newEnv(t, srv.URL(), nil)
	w := startSteady(t, srv.URL(), redisstore.Options{})
	fill(t, e)
	w.awaitFailure()
	require.NoError(t, e.client.ConfigSet(ctx, "maxmemory", "100mb").Err())
	again := w.awaitAck()
	dir := srv.Dir
	breakRDB(t, srv)
	w.awaitFailure()
	err := w.s.Save(ctx, "d", snap(1, 1, "a", "x"))
	require.ErrorContains(t, err, "MISCONF")
	require.ErrorContains(t, err, "disk")
	require.NotEmpty(t, dir)
	require.NoError(t, e.client.ConfigSet(ctx, "stop-writes-on-bgsave-error", "no").Err())
	again = max(again, w.awaitAck())
	w.end(12, "memory full (OOM), RDB file fails (MISCONF)", 2, again, "")
}

func TestReplicasThatAreBehindUnderASteadyOwner(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := startReplica(t, primary)
	w := startSteady(t, primary.URL(), redisstore.Options{Durability: "replicated:1"})
	replica.Stop()
	w.awaitBelow()
	replica.Cont()
	again := w.awaitAck()
	require.NoError(t, primary.Client(t).ConfigSet(ctx, "min-replicas-to-write", "2").Err())
	w.awaitFailure()
	require.NoError(t, primary.Client(t).ConfigSet(ctx, "min-replicas-to-write", "0").Err())
	again = max(again, w.awaitAck())
	w.end(11, "replica frozen (WAIT short), NOREPLICAS; replicated:1", 2, again, "")
}

func TestTwoPodsOfOneComponent(t *testing.T) {
	srv := redistest.Start(t)
	e := newEnv(t, srv.URL(), nil)
	old, next := e.open(redisstore.Options{}), e.open(redisstore.Options{})
	wrong, total := 0, 0
	for epoch := uint64(1); epoch <= uint64(many()); epoch++ {
		mustSave(t, old, "c", snap(epoch, epoch*10, "old", "old"))
		require.NoError(t, next.Claim(ctx, "c", epoch+1))
		require.ErrorIs(t, old.Save(ctx, "c", snap(epoch, epoch*10+1, "late", "late")), store.ErrFenced)
		if string(loaded(t, next, "c").Data) != "old" {
			wrong++
		}
		mustSave(t, next, "c", snap(epoch+1, epoch*10+5, "next", "next"))
		total += 2
	}
	report(row{3, "two pods of one component", many(), total, 0, wrong, 0, ""})
	require.Zero(t, wrong)
}

func TestAnOutageAtTheStartIsNoEmptyState(t *testing.T) {
	t.Parallel()
	srv, p, u := behind(t)
	mustSave(t, newEnv(t, srv.URL(), nil).open(redisstore.Options{Prefix: "p:"}), "c", snap(1, 1, "a", "1"))
	p.Refuse()
	stores := make([]*redisstore.Store, 20) // a herd that waits for it
	var wg sync.WaitGroup
	for i := range stores {
		s, err := redisstore.Open(u, redisstore.Options{Prefix: "p:"})
		require.NoError(t, err)
		defer s.Close()
		stores[i] = s
		wg.Go(func() {
			if err := second(s.Load(ctx, "c")); err == nil || isAnswer(err) {
				t.Errorf("not an outage: %v", err)
			}
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool { return p.Accept() == nil }, 60*time.Second, time.Millisecond)
	start := time.Now()
	for _, s := range stores {
		wg.Go(func() {
			for end := time.Now().Add(60 * time.Second); time.Now().Before(end); {
				if got, err := s.Load(ctx, "c"); err == nil && string(got.Data) == "1" {
					return
				}
			}
			t.Error("not restored")
		})
	}
	wg.Wait()
	report(row{4, "server down at the start", len(stores), 1, 0, 0, time.Since(start), ""})
	report(row{24, "twenty processes come back at once", len(stores), 1, 0, 0, time.Since(start), ""})
}

func TestStoredValuesThatAreNotOurs(t *testing.T) {
	e := onReal(t)
	s := e.open(redisstore.Options{TTL: time.Hour})
	mustSave(t, s, "flip", snap(1, 1, "a", "1"), snap(1, 2, "b", "2"))
	e.damage(e.key("flip"))
	require.EqualValues(t, 1, loaded(t, s, "flip").Version, "one generation is lost")
	e.set(e.key("foreign"), "not a state")
	require.NoError(t, e.client.RPush(ctx, e.key("list"), "x").Err())
	e.set(e.key("future"), tooNew())
	for _, id := range []string{"foreign", "list"} {
		before := e.client.Dump(ctx, e.key(id)).Val()
		require.Error(t, second(s.Load(ctx, id)), id)
		require.ErrorContains(t, s.Save(ctx, id, snap(1, 1, "a", "1")), "left alone", id)
		require.Equal(t, before, e.client.Dump(ctx, e.key(id)).Val(), id)
	}
	require.ErrorIs(t, second(s.Load(ctx, "future")), store.ErrTooNew)
	mustSave(t, s, "expired", snap(1, 1, "a", "1"))
	redistest.Expire(t, e.client, e.key("expired"))
	require.ErrorIs(t, second(s.Load(ctx, "expired")), store.ErrExpired)
	require.ErrorIs(t, s.Save(ctx, "big", snap(1, 1, "a", strings.Repeat("x", 40<<20))), store.ErrTooLarge)
	for v, at := range []time.Time{time.Unix(4e9, 0), time.Unix(1, 0), time.Now()} {
		sn := snap(1, uint64(v+1), "w", content(uint64(v+1)))
		sn.SavedAt = at
		mustSave(t, s, "clock", sn)
	}
	require.EqualValues(t, 3, loaded(t, s, "clock").Version)
	report(row{14, "TTL ran out during an outage (ErrExpired)", 1, 1, 1, 0, 0, "that is what a TTL means"})
	report(row{15, "flipped byte, foreign value, wrong type", 3, 2, 1, 0, 0, "the damaged generation"})
	report(row{16, "newer format (ErrTooNew)", 1, 0, 0, 0, 0, ""})
	report(row{19, "value too large, refused before it is sent", 1, 0, 0, 0, 0, ""})
	report(row{21, "clock of the writer jumps", 3, 3, 0, 0, 0, ""})
}

func TestAPasswordThatIsRotatedAndRightsThatAreTaken(t *testing.T) {
	const before, after = "p@ss/w:rd?#%one", "p@ss/w:rd?#%two"
	srv := redistest.Start(t)
	c := srv.Client(t)
	user := func(rules ...any) {
		require.NoError(t, c.Do(ctx, append([]any{"ACL", "SETUSER", "app"}, rules...)...).Err())
	}
	user("on", ">"+before, "~*", "+@all")
	at := func(password string) *redisstore.Store {
		s, err := redisstore.Open("redis://app:"+url.QueryEscape(password)+"@"+srv.Addr, redisstore.Options{})
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	old := at(before)
	mustSave(t, old, "c", snap(1, 1, "a", "statebytes"))
	user(">"+after, "<"+before)
	mustSave(t, old, "c", snap(1, 2, "b", "statebytes")) // its connections stay
	require.NoError(t, c.Do(ctx, "CLIENT", "KILL", "USER", "app").Err())
	var texts []string
	fails := func(err error) {
		require.Error(t, err)
		require.False(t, isAnswer(err), err)
		texts = append(texts, err.Error())
	}
	require.Eventually(t, func() bool {
		err := second(old.Load(ctx, "c"))
		return err != nil && strings.Contains(err.Error(), "WRONGPASS")
	}, 60*time.Second, time.Millisecond)
	fails(old.Save(ctx, "c", snap(1, 3, "c", "statebytes")))
	fails(second(old.Load(ctx, "c")))
	fresh := at(after)
	require.Equal(t, "statebytes", string(loaded(t, fresh, "c").Data))
	user("-evalsha")
	fails(fresh.Save(ctx, "c", snap(1, 3, "c", "statebytes")))
	user("off")
	require.NoError(t, c.Do(ctx, "CLIENT", "KILL", "USER", "app").Err())
	require.Eventually(t, func() bool { return second(fresh.Load(ctx, "c")) != nil }, 60*time.Second, time.Millisecond)
	fails(second(fresh.Load(ctx, "c")))
	for _, text := range texts {
		for _, secret := range []string{before, after, "p@ss", "statebytes", url.QueryEscape(before), url.QueryEscape(after)} {
			require.NotContains(t, text, secret)
		}
	}
	report(row{17, "password rotated, right taken, user off", 3, 2, 0, 0, 0, ""})
}

func TestASlowNetworkAndMoreCallsThanConnections(t *testing.T) {
	t.Parallel()
	_, p, u := behind(t)
	s, err := redisstore.Open(u, redisstore.Options{})
	require.NoError(t, err)
	defer s.Close()
	p.Delay(time.Duration(1+rand.IntN(3)) * time.Millisecond)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			id, c := fmt.Sprint("c", i), context.Background()
			for v := uint64(1); ; v++ {
				limited, cancel := context.WithTimeout(c, 30*time.Second)
				err := s.Save(limited, id, snap(1, v, "w", content(v)))
				cancel()
				if err == nil {
					return
				}
				if isAnswer(err) || v == 20 {
					t.Errorf("%s: %v", id, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for i := range 200 {
		got, err := s.Load(ctx, fmt.Sprint("c", i))
		require.NoError(t, err)
		require.Equal(t, content(got.Version), string(got.Data))
	}
	report(row{20, "slow network, 200 components, four connections", 1, 200, 0, 0, 0, ""})
}

func TestASaveThatCloseInterruptsIsWholeOrAbsent(t *testing.T) {
	e := onReal(t)
	for i := range uint64(many()) {
		s, err := redisstore.Open(e.url, redisstore.Options{Prefix: e.prefix})
		require.NoError(t, err)
		errs := make(chan error)
		go func() { errs <- s.Save(ctx, "c", snap(1, i+1, "w", content(i+1))) }()
		require.NoError(t, s.Close())
		saved := <-errs
		got, err := e.open(redisstore.Options{}).Load(ctx, "c")
		if saved == nil {
			require.NoError(t, err)
			require.Equal(t, i+1, got.Version)
		} else {
			require.ErrorIs(t, saved, store.ErrClosed)
		}
		if err == nil {
			require.Equal(t, content(got.Version), string(got.Data))
		} else {
			require.ErrorIs(t, err, store.ErrNotFound)
		}
	}
	report(row{22, "closed during a save", many(), 0, 0, 0, 0, ""})
}

func TestAServerThatTurnedTLSOnSaysSo(t *testing.T) {
	srv, _ := startTLS(t)
	plain, err := redisstore.Open("redis://"+srv.Addr, redisstore.Options{})
	require.NoError(t, err)
	defer plain.Close()
	require.ErrorContains(t, second(plain.Load(ctx, "c")), "rediss://")
	unknown, err := redisstore.Open("rediss://"+srv.Addr, redisstore.Options{})
	require.NoError(t, err)
	defer unknown.Close()
	err = second(unknown.Load(ctx, "c"))
	require.ErrorContains(t, err, "certificate")
	require.False(t, errors.Is(err, store.ErrNotFound))
	report(row{23, "TLS turned on, certificate unknown", 2, 0, 0, 0, 0, ""})
}
