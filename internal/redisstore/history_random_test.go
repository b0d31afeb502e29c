package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/faultproxy"
	"github.com/durablestate/durable/internal/historycheck"
	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/trial"
)

// A keeper is what a writer needs of a store, so that mutants can be one.
type keeper interface {
	Save(ctx context.Context, id string, s *store.Snapshot) error
	Load(ctx context.Context, id string) (*store.Snapshot, error)
}

// randomWriters is how many processes write.
const randomWriters = 6

// gathered is how many tries pass at most between two looks at the chain, which
// shows the last 100.
const gathered = 60

// An ordeal is one history under random faults.
type ordeal struct {
	t     *testing.T
	e     *env
	proxy *faultproxy.Proxy
	id    string
	clock atomic.Int64
	stop  atomic.Bool

	mu    sync.Mutex
	ops   []historycheck.Op
	chain map[historycheck.Attempt]bool
	tries int
}

// faultsMode reports whether the long tests were asked for.
func faultsMode() bool { return os.Getenv("DURABLE_FAULTS") == "1" }

// runOrdeal has six processes save one component through accidents for a while
// and returns what they and the store saw.
func runOrdeal(t *testing.T, seed uint64, length time.Duration, open func(e *env) keeper) (*ordeal, historycheck.History) {
	e := newEnv(t, redistest.Start(t).URL(), nil)
	p, err := faultproxy.Start(strings.TrimPrefix(e.url, "redis://"))
	require.NoError(t, err)
	defer p.Close()
	via := *e
	via.url = "redis://" + p.Addr() + "?dial_timeout=1s"
	tr := &ordeal{t: t, e: e, proxy: p, id: "c", chain: map[historycheck.Attempt]bool{}}
	chance := lockedRand(seed)
	p.Each(func(request []byte) faultproxy.Fault { return draw(chance(1000)) })
	var wg sync.WaitGroup
	for i := range randomWriters {
		k := open(&via)
		wg.Go(func() { tr.process(i, rand.New(rand.NewPCG(seed, uint64(i+1))), k) })
	}
	wg.Go(func() { tr.trouble(rand.New(rand.NewPCG(seed, 0))) })
	time.Sleep(length)
	tr.stop.Store(true)
	wg.Wait()
	p.Each(nil)
	p.Thaw()
	_, err = p.Late(false)
	require.NoError(t, err)
	tr.gather()
	h := historycheck.History{Ops: tr.ops}
	for a := range tr.chain {
		h.Chain = append(h.Chain, a)
	}
	h.Last = tr.last()
	return tr, h
}

func lockedRand(seed uint64) func(n int) int {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 99))
	return func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return r.IntN(n)
	}
}

func draw(n int) faultproxy.Fault {
	switch {
	case n < 40:
		return faultproxy.LoseReply
	case n < 55:
		return faultproxy.Cut
	case n < 75:
		return faultproxy.Hold
	}
	return faultproxy.None
}

// trouble delivers what was held back, cuts, and freezes for moments.
func (tr *ordeal) trouble(r *rand.Rand) {
	for !tr.stop.Load() {
		time.Sleep(time.Duration(1+r.IntN(20)) * time.Millisecond)
		switch r.IntN(12) {
		case 0:
			tr.proxy.Freeze()
			time.Sleep(time.Duration(50+r.IntN(200)) * time.Millisecond)
			tr.proxy.Thaw()
		case 1:
			tr.proxy.CutAll()
		default:
			tr.pace(func() { _, _ = tr.proxy.Late(r.IntN(2) == 0) })
		}
	}
}

// process loads and saves until the trial ends.
func (tr *ordeal) process(n int, r *rand.Rand, k keeper) {
	for i := 0; !tr.stop.Load(); i++ {
		start := tr.clock.Add(1)
		snap, err := k.Load(tr.limited(r), tr.id)
		var at store.Snapshot
		switch {
		case err == nil:
			at = *snap
			tr.note(n, historycheck.Load, historycheck.Acknowledged, at.Attempt(), start)
		case !errors.Is(err, store.ErrNotFound):
			continue
		default:
			tr.note(n, historycheck.Load, historycheck.Acknowledged, store.Attempt{}, start)
		}
		at.Version = max(at.Version, at.LastVersion) + 1 + uint64(r.IntN(2))
		if r.IntN(10) == 0 {
			at.Epoch++
		}
		at.WriteID = fmt.Sprintf("w%dx%d", n, i)
		at.Data, at.Codec, at.SavedAt = []byte(at.WriteID+strings.Repeat(".", size(r))), "text", time.Unix(1, 0)
		tr.save(n, r, k, &at)
	}
}

func size(r *rand.Rand) int {
	if r.IntN(20) == 0 {
		return 80 << 10 // staged
	}
	return r.IntN(200)
}

// save tries until it knows the outcome, or gives up.
func (tr *ordeal) save(n int, r *rand.Rand, k keeper, s *store.Snapshot) {
	doubt := false
	for range 3 {
		var err error
		start := tr.clock.Add(1)
		tr.pace(func() { err = k.Save(tr.limited(r), tr.id, s) })
		switch {
		case err == nil:
			tr.note(n, historycheck.Save, historycheck.Acknowledged, s.Attempt(), start)
			return
		case errors.Is(err, store.ErrConflict) && !doubt:
			tr.note(n, historycheck.Save, historycheck.Refused, s.Attempt(), start)
			return
		}
		doubt = true
		tr.note(n, historycheck.Save, historycheck.Unknown, s.Attempt(), start)
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrFenced) || r.IntN(3) == 0 {
			return
		}
	}
}

// limited returns a context that sometimes ends early.
func (tr *ordeal) limited(r *rand.Rand) context.Context {
	c, cancel := context.WithTimeout(ctx, time.Duration(5+r.IntN(200))*time.Millisecond)
	tr.t.Cleanup(cancel)
	return c
}

// pace keeps writes from outrunning the gathering of the chain.
func (tr *ordeal) pace(write func()) {
	tr.mu.Lock()
	tr.tries++
	due := tr.tries >= gathered
	tr.mu.Unlock()
	if due {
		tr.gather()
	}
	write()
}

// gather reads which saves the store holds.
func (tr *ordeal) gather() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.tries = 0
	line, err := tr.e.client.Get(ctx, tr.e.side(tr.id, "f")).Result()
	if errors.Is(err, redis.Nil) {
		return
	}
	require.NoError(tr.t, err)
	attempt, list, _ := strings.Cut(line[155:], "|")
	if w := strings.Fields(attempt); len(w) == 3 {
		tr.chain[historycheck.Attempt{Version: parse(w[1]), WriteID: w[2]}] = true
	}
	for _, entry := range strings.Fields(list) {
		w := strings.Split(entry, ",")
		tr.chain[historycheck.Attempt{Version: parse(w[0]), WriteID: w[1]}] = true
	}
}

func parse(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

func (tr *ordeal) last() uint64 {
	return parse(tr.e.client.GetRange(ctx, tr.e.side(tr.id, "f"), 29, 48).Val())
}

func (tr *ordeal) note(n int, kind historycheck.Kind, outcome historycheck.Outcome, a store.Attempt, start int64) {
	end := tr.clock.Add(1)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.ops = append(tr.ops, historycheck.Op{Process: n, Kind: kind, Outcome: outcome,
		Attempt: historycheck.Attempt{Epoch: a.Epoch, Version: a.Version, WriteID: a.WriteID}, Start: start, End: end})
}

// acked counts acknowledged saves.
func acked(h historycheck.History) (n int) {
	for _, op := range h.Ops {
		if op.Kind == historycheck.Save && op.Outcome == historycheck.Acknowledged {
			n++
		}
	}
	return n
}

func TestRandomFaultsLeaveASoundHistory(t *testing.T) {
	length := 2 * time.Second
	if faultsMode() {
		length = time.Minute
	}
	long := trial.Begin(t)
	tr, h := runOrdeal(t, long.Seed, length, func(e *env) keeper { return e.open(redisstore.Options{Keep: 100}) })
	t.Logf("%d writers, %s: %d calls, %d saves acknowledged, %d versions; lost replies %d, cut %d, held back %d; violations %d",
		randomWriters, length, len(h.Ops), acked(h), len(h.Chain), tr.proxy.Count(faultproxy.LoseReply), tr.proxy.Count(faultproxy.Cut),
		tr.proxy.Count(faultproxy.Hold), len(historycheck.Check(h)))
	require.Empty(long, historycheck.Check(h))
	require.NotZero(long, acked(h))
	require.NotZero(long, tr.proxy.Count(faultproxy.LoseReply)+tr.proxy.Count(faultproxy.Cut)+tr.proxy.Count(faultproxy.Hold))
}

// replaceScript makes the client send other scripts in the place of some, which
// it knows by their digests.
type replaceScript map[string]string

func (r replaceScript) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (r replaceScript) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (r replaceScript) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, c := range cmds {
			for i, a := range c.Args() {
				sha, _ := a.(string)
				if source := r[sha]; i == 1 && source != "" {
					c.Args()[0], c.Args()[1] = "eval", source
				}
			}
		}
		return next(ctx, cmds)
	}
}

// mutant opens stores whose scripts that save lack what replace takes out of them.
func mutant(t *testing.T, replace ...string) func(e *env) keeper {
	r := strings.NewReplacer(replace...)
	save, batch := r.Replace(redisstore.SaveScriptSource), r.Replace(redisstore.BatchScriptSource)
	require.NotEqual(t, redisstore.SaveScriptSource+redisstore.BatchScriptSource, save+batch)
	return func(e *env) keeper {
		o, err := redis.ParseURL(e.url)
		require.NoError(t, err)
		o.Protocol, o.DisableIdentity, o.ContextTimeoutEnabled = 2, true, true
		c := redis.NewClient(o)
		t.Cleanup(func() { _ = c.Close() })
		c.AddHook(replaceScript{redisstore.SaveScriptSHA: save, redisstore.BatchScriptSHA: batch})
		s, err := redisstore.New(c, redisstore.Options{Prefix: e.prefix, Keep: 100})
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

// slowBelow keeps a batch from saving what is not above the fence.
const slowBelow = "if not less(version, sub(value, 33, 52)) then return 'SLOW' end"

func TestTheHistoryCheckCanFail(t *testing.T) {
	for name, open := range map[string]func(e *env) keeper{
		"no fence":             mutant(t, "if not less(version, v) then", "if false then", slowBelow, ""),
		"no fence in a batch":  mutant(t, slowBelow, ""),
		"batches write twice":  mutant(t, slowBelow, "if version == sub(value, 33, 52) then return version end"),
		"superseded are alien": mutant(t, "local own = string.find", "local own = false and string.find"),
		"any repeat will do":   mutant(t, "return done(own and 'OK' or 'CONFLICT', epoch, version)", "return done('OK', epoch, version)"),
	} {
		t.Run(name, func(t *testing.T) {
			found := trial.Begin(t)
			s := found.Seed
			for range 60 {
				_, h := runOrdeal(t, s, 500*time.Millisecond, open)
				if wrong := historycheck.Check(h); len(wrong) > 0 {
					t.Log(wrong[0])
					return
				}
				require.NotZero(found, acked(h), "the mutant works at all")
				s++
			}
			found.Fatalf("not found out")
		})
	}
}
