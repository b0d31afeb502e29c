package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

// A steady owner loads and saves one component on and on while something happens
// to its server, and keeps count of what it was told.
type steady struct {
	t          *testing.T
	s          *redisstore.Store
	prefix, id string
	stop       chan struct{}
	ended      sync.WaitGroup

	mu      sync.Mutex
	acked   []uint64 // versions acknowledged at the level and not known to be lost
	total   int
	lost    int
	below   int // saved, below the level
	failed  int
	wrong   []string
	version uint64
	last    time.Time // of the last acknowledgement
	vanish  bool      // the state may be missing
}

// startSteady returns once the first save is acknowledged.
func startSteady(t *testing.T, url string, o redisstore.Options) *steady {
	t.Helper()
	if o.Prefix == "" {
		o.Prefix = "steady:"
	}
	s, err := redisstore.Open(url, o)
	require.NoError(t, err)
	w := &steady{t: t, s: s, prefix: o.Prefix, id: "c", stop: make(chan struct{})}
	t.Cleanup(func() { _ = s.Close() })
	w.ended.Go(w.run)
	w.awaitAck()
	return w
}

func (w *steady) run() {
	for {
		select {
		case <-w.stop:
			return
		default:
			w.load()
			w.save()
		}
	}
}

func (w *steady) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 3*time.Second)
}

// load checks that what was acknowledged is still there.
func (w *steady) load() {
	c, cancel := w.limited()
	defer cancel()
	snap, err := w.s.Load(c, w.id)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		if string(snap.Data) != content(snap.Version) {
			w.wrong = append(w.wrong, fmt.Sprintf("version %d has the content %.20q", snap.Version, snap.Data))
		}
		w.compare(snap.LastVersion)
	case errors.Is(err, store.ErrNotFound) && (w.vanish || w.version == 0):
		w.compare(0)
	case errors.Is(err, store.ErrLost) && w.vanish:
	case isAnswer(err):
		w.wrong = append(w.wrong, "load: "+err.Error())
	}
}

// compare counts the acknowledged versions above what the server knows as lost.
func (w *steady) compare(version uint64) {
	n := len(w.acked)
	w.acked = slices.DeleteFunc(w.acked, func(v uint64) bool { return v > version })
	w.lost += n - len(w.acked)
}

func (w *steady) save() {
	c, cancel := w.limited()
	defer cancel()
	w.mu.Lock()
	w.version++
	v := w.version
	w.mu.Unlock()
	err := w.s.Save(c, w.id, snap(1, v, fmt.Sprintf("w%d", v), content(v)))
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.acked, w.total, w.last = append(w.acked, v), w.total+1, time.Now()
	case errors.Is(err, store.ErrNotDurable):
		w.below++
	case isAnswer(err):
		w.wrong = append(w.wrong, "save: "+err.Error())
	default:
		w.failed++
	}
}

// isAnswer reports whether err claims to know something about the state.
func isAnswer(err error) bool {
	for _, a := range []error{store.ErrNotFound, store.ErrExpired, store.ErrLost, store.ErrCorrupt, store.ErrTooNew, store.ErrFenced, store.ErrConflict} {
		if errors.Is(err, a) {
			return true
		}
	}
	return false
}

func content(v uint64) string { return fmt.Sprintf("state %d", v) }

// awaitAck returns how long it takes until a save that ends after now is acknowledged.
func (w *steady) awaitAck() time.Duration {
	w.t.Helper()
	start := time.Now()
	require.Eventually(w.t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.last.After(start)
	}, 60*time.Second, 2*time.Millisecond, "saves do not succeed again")
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.Sub(start)
}

// awaitBelow is awaitAck where no replica is left that could confirm: it waits
// for a save that is stored, at its level or below.
func (w *steady) awaitBelow() {
	w.t.Helper()
	stored := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.total + w.below
	}
	before := stored()
	require.Eventually(w.t, func() bool { return stored() > before }, 60*time.Second, 2*time.Millisecond, "saves do not succeed again")
}

// A recovery watches a server from its promotion on.
type recovery struct {
	t        *testing.T
	c        *redis.Client
	promoted time.Time
	had      map[*steady]string
}

func promoted(t *testing.T, s *redistest.Server, workers ...*steady) *recovery {
	r := &recovery{t, s.Client(t), time.Now(), map[*steady]string{}}
	for _, w := range workers {
		r.had[w] = r.stored(w)
	}
	return r
}

// stored returns the header of what the server has of w's component.
func (r *recovery) stored(w *steady) string {
	return r.c.GetRange(ctx, w.prefix+w.id, 0, 52).Val()
}

// took returns how long after the promotion the server had a new save of each.
func (r *recovery) took(workers ...*steady) []time.Duration {
	r.t.Helper()
	took := make([]time.Duration, len(workers))
	require.Eventually(r.t, func() bool {
		for i, w := range workers {
			if now := r.stored(w); took[i] == 0 && now != "" && now != r.had[w] {
				took[i] = time.Since(r.promoted)
			}
		}
		return !slices.Contains(took, 0)
	}, 60*time.Second, 2*time.Millisecond, "saves do not succeed again")
	return took
}

// mayVanish says that from now on the state may be missing.
func (w *steady) mayVanish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vanish = true
}

// end stops the owner, checks its last state, and reports a row.
func (w *steady) end(n int, name string, injected int, recovery time.Duration, why string) {
	w.t.Helper()
	close(w.stop)
	w.ended.Wait()
	w.load()
	found := audit(w.t, w.s)
	w.mu.Lock()
	defer w.mu.Unlock()
	report(row{n, name, injected, w.total, w.lost, len(w.wrong), recovery, why})
	require.Empty(w.t, w.wrong)
	require.NotZero(w.t, w.total)
	if why == "" {
		require.Zero(w.t, w.lost, "acknowledged and lost")
		if w.below+w.failed == 0 { // else a load may have shown what was never acknowledged
			require.NotContains(w.t, found, "rollback", "lost between a load and a save")
		}
	}
}

// A row is a line of the table of faults.
type row struct {
	n                            int
	name                         string
	injected, acked, lost, wrong int
	recovery                     time.Duration // since the server could answer again; 0: it always could
	why                          string        // acknowledged saves may be lost
}

var table struct {
	sync.Mutex
	rows []row
}

func report(r row) {
	table.Lock()
	defer table.Unlock()
	table.rows = append(table.rows, r)
}

// printTable prints what was reported, if the long tests were asked for.
func printTable() {
	if !faultsMode() || len(table.rows) == 0 {
		return
	}
	slices.SortStableFunc(table.rows, func(a, b row) int { return a.n - b.n })
	var b strings.Builder
	fmt.Fprintf(&b, "%2s  %-58s %8s %7s %5s %6s %9s\n", "#", "fault", "injected", "acked", "lost", "wrong", "again ms")
	for _, r := range table.rows {
		fmt.Fprintf(&b, "%2d  %-58s %8d %7d %5d %6d %9d  %s\n", r.n, r.name, r.injected, r.acked, r.lost, r.wrong, r.recovery.Milliseconds(), r.why)
	}
	fmt.Fprint(os.Stderr, b.String())
	if f := os.Getenv("DURABLE_FAULTS_TABLE"); f != "" {
		_ = os.WriteFile(f, []byte(b.String()), 0o600)
	}
}
