package filestore_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/filestore"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/trial"
	"github.com/durablestate/durable/internal/vfs/crashfs"
)

// An explorer recovers from every crash state it is led to.
type explorer struct {
	r      *rand.Rand
	keep   int
	tidy   tidiness
	deeper int  // one of so many recoveries is explored itself
	from   int  // position from which on states are tried
	sparse bool // only after what a process was told
	states int  // distinct ones that were recovered from
	nested int  // of these during a recovery
	failed error
}

// explore tries the states after each change that w recorded, at most most of
// each moment. It stops at the first that is wrong.
func (x *explorer) explore(w *world, most int) {
	h := newHistory()
	if w.past != nil {
		h = w.past.clone()
	}
	h.together = w.together
	w.disk.Replay(func(_ int, remark any, _ *crashfs.State) bool {
		if m, ok := remark.(mark); ok {
			m.forget()
		}
		return true
	})
	x.trace(w.disk, h, most, 1)
}

func (x *explorer) trace(disk *crashfs.Disk, h *history, most, depth int) {
	seen := map[uint64]bool{}
	disk.Replay(func(pos int, remark any, s *crashfs.State) bool {
		if m, ok := remark.(mark); ok {
			h.apply(m)
			if x.failed = h.wrong; x.failed != nil || !m.end {
				return x.failed == nil
			}
		} else if x.sparse {
			return true
		}
		if depth > 0 && pos < x.from {
			return true
		}
		for img := range s.Crashes(x.r, most) {
			key := img.Key() ^ h.acks*0x9e3779b97f4a7c15
			if seen[key] {
				continue
			}
			seen[key] = true
			x.states++
			if depth == 0 {
				x.nested++
			}
			if err := x.recover(img, h, depth); err != nil {
				x.failed = fmt.Errorf("%w\nafter a crash at position %d, choices %v, leaving %v, of:\n\t%s",
					err, pos, img.Choices, img.Names(), strings.Join(disk.Log(pos+1), "\n\t"))
				return false
			}
		}
		return true
	})
}

// recover opens the store on what the crash left and demands all that the
// history promises, then writes to it and explores, to the depth given, the
// crashes meanwhile.
func (x *explorer) recover(img *crashfs.Image, h *history, depth int) error {
	w := &world{disk: crashfs.From(img), keep: x.keep, tidy: x.tidy, live: newHistory()}
	s, err := filestore.New(w.disk.Open(), x.tidy.options(x.keep))
	if err != nil {
		return fmt.Errorf("the store does not open: %w", err)
	}
	p := &proc{w, nil, s}
	seen, err := x.observeAll(s, h)
	if err != nil {
		return err
	}
	if err := h.judgeTogether(seen); err != nil {
		return err
	}
	if x.r.IntN(8) == 0 {
		if err := x.again(w.disk, h, seen); err != nil {
			return fmt.Errorf("opened twice: %w", err)
		}
	}
	after := h.known(seen)
	if err := x.use(p, h, seen); err != nil {
		return fmt.Errorf("using it: %w", err)
	}
	if err := tidy(w.disk.Image()); err != nil {
		return err
	}
	if err := x.again(w.disk, h, seen); err != nil {
		return fmt.Errorf("used, closed and opened again: %w", err)
	}
	if depth > 0 && x.r.IntN(x.deeper) == 0 {
		x.trace(w.disk, after, 64, depth-1)
		if x.failed != nil {
			return fmt.Errorf("during the recovery: %w", x.failed)
		}
	}
	return nil
}

func (x *explorer) observeAll(s store.Store, h *history) (map[string]*observation, error) {
	seen := map[string]*observation{}
	var listed []string
	for id, err := range s.List(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		listed = append(listed, id)
	}
	for id := range h.attempts {
		o, err := h.observe(s, id)
		if err != nil {
			return nil, err
		}
		if err := h.judge(id, &o, x.keep); err != nil {
			return nil, err
		}
		if (o.err == nil) != slices.Contains(listed, id) {
			return nil, fmt.Errorf("%q: loading answers %v, the list is %v", id, o.err, listed)
		}
		seen[id] = &o
	}
	for name := range h.leases {
		l, err := s.LoadLease(ctx, name)
		if err := h.judgeLease(name, l, err); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// again opens the store once more and demands the same answers.
func (x *explorer) again(disk *crashfs.Disk, h *history, seen map[string]*observation) error {
	s, err := filestore.New(disk.Open(), filestore.Options{Keep: x.keep})
	if err != nil {
		return err
	}
	for id, o := range seen {
		now, err := h.observe(s, id)
		if err != nil {
			return err
		}
		if !o.same(&now) {
			return fmt.Errorf("%q was %v, now %v", id, o, now)
		}
	}
	return nil
}

// use saves one component, takes the leases and closes the store.
func (x *explorer) use(p *proc, h *history, seen map[string]*observation) error {
	if ids := slices.Sorted(maps.Keys(seen)); len(ids) > 0 {
		id := ids[0]
		if err := p.save(id, 0); err != nil {
			return err
		}
		o, err := h.observe(p, id)
		if err != nil {
			return err
		}
		if !strings.Contains(string(o.snap.Data), `"n":1,`) {
			return errors.New("the save is not there")
		}
		seen[id] = &o
	}
	for name, list := range h.leases {
		l := p.acquire(name, "successor")
		if l == nil {
			return fmt.Errorf("lease %q is not free after a crash", name)
		}
		for _, a := range list {
			if l.Epoch <= a.epoch {
				return fmt.Errorf("BACKWARDS: lease %q was given with epoch %d after %d", name, l.Epoch, a.epoch)
			}
		}
	}
	return p.Close()
}

// known is the history of somebody who only knows what was seen: after a crash
// of the machine all of it is durable.
func (h *history) known(seen map[string]*observation) *history {
	k := newHistory()
	k.rotten = h.rotten
	for id, o := range seen {
		k.now++
		acked := func(a attempt) {
			a.id, a.begun, a.ended, a.acked = id, k.now, k.now, true
			k.attempts[id] = append(k.attempts[id], &a)
		}
		for _, snap := range o.older {
			acked(attempt{kind: "save", epoch: snap.Epoch, version: snap.Version, writeID: snap.WriteID, data: string(snap.Data)})
		}
		acked(attempt{kind: "claim", epoch: o.fence.Epoch, version: o.fence.Version})
	}
	return k
}

// tidy reports what a store leaves behind that it should have cleaned up.
func tidy(img *crashfs.Image) error {
	for _, name := range img.Names() {
		if name != "FORMAT" && name != "LOCK" && !strings.HasPrefix(name, "c-") && !strings.HasPrefix(name, "x-c-") {
			return fmt.Errorf("%s was not cleaned up", name)
		}
	}
	return nil
}

func envNumber(t *testing.T, name string, normal uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return normal
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "%s must be a number", name)
	return n
}

// crashStates is the number of states to try.
func crashStates(t *testing.T) int {
	normal := uint64(50_000)
	if testing.Short() {
		normal = 6_000
	}
	return int(envNumber(t, "DURABLE_CRASH_STATES", normal))
}

// A tally sums up what several explorers did.
type tally struct {
	states, nested, fixed, workloads int
}

// crashParts is the number of parallel parts of a run, the same on every machine
// so that a seed leads to the same states.
const crashParts = 4

func TestCrash_simulated_power_cuts(t *testing.T) {
	tr, want := trial.Begin(t), crashStates(t)
	// Almost nothing stays in use, and the collector would run all the time.
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	start := time.Now()
	var parts [crashParts]tally
	t.Run("all", func(t *testing.T) {
		for i := range parts {
			t.Run(fmt.Sprint("part", i), func(t *testing.T) {
				t.Parallel()
				cutPower(tr.Part(t), &parts[i], i, want/crashParts)
			})
		}
	})
	var sum tally
	for _, p := range parts {
		sum.states += p.states
		sum.nested += p.nested
		sum.fixed += p.fixed
		sum.workloads += p.workloads
	}
	if t.Failed() {
		return
	}
	t.Logf("crash: power cuts, simulated: states=%d lost=0 torn=0 mixed=0 workloads=%d states_of_fixed_ones=%d states_during_a_recovery=%d seconds=%.0f seed=%d",
		sum.states, sum.workloads, sum.fixed, sum.nested, time.Since(start).Seconds(), tr.Seed)
}

// cutPower tries the states of its share of the fixed workloads, and of random
// ones until it has tried want. Each workload has its own random numbers, so that
// it is the same again whatever the others did.
func cutPower(tr *trial.Trial, sum *tally, part, want int) {
	numbers := func() *rand.Rand { return rand.New(rand.NewPCG(tr.Seed, uint64(part)<<32|uint64(sum.workloads))) }
	try := func(l workload, r *rand.Rand, most int) {
		x := explorer{r: r, keep: l.keep, tidy: min(l.tidy, eager), deeper: 96}
		x.explore(l.perform(tr.T, r, nil), most)
		sum.workloads++
		sum.states += x.states
		sum.nested += x.nested
		require.NoError(tr, x.failed, "%s, keep %d, workload %d", l.name, l.keep, sum.workloads)
	}
	most := 1 << 12
	if testing.Short() {
		most = 16
	}
	for i, l := range workloads() {
		if i%crashParts == part {
			try(l, numbers(), most)
			l.name, l.tidy = l.name+", compacting", eager
			try(l, numbers(), max(16, most/16)) // it does more, so there are more moments
		}
	}
	for i, l := range compactions() {
		if i%crashParts == part {
			try(l, numbers(), most)
		}
	}
	sum.fixed = sum.states
	for sum.states < want {
		r := numbers()
		l := random(r, 8+r.IntN(24))
		if r.IntN(3) == 0 {
			l = failing(r, l)
		}
		l.tidy = tidiness(r.IntN(3))
		try(l, r, 12)
	}
}
