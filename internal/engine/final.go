package engine

import (
	"container/heap"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/durablestate/durable/internal/engine/flight"
	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/engine/wait"
)

const (
	firstFinalPause = 50 * time.Millisecond
	lastFinalPause  = time.Second
)

// final is the queue of a Close: each state is asked for, and goes back with a growing
// pause when that failed, whatever becomes of the others. So many flights are under
// way at a time, of which one that hangs keeps its slot for no longer than patience.
type final struct {
	crew     *flight.Crew
	wants    func(*saver.Saver) (may, must bool) // be asked
	patience time.Duration
	width    int // of the window; the crew has its own bounds

	todo    []try  // in the order in which they are asked for first
	asked   int    // of todo
	later   later  // that failed
	window  []*try // that are under way and count
	counted int    // of window, without those that ended
	must    int    // tries that have to succeed yet
	may     int    // tries that are not over otherwise
	bytes   int    // of the states of those that have to
	done    int    // tries that had to and succeeded

	mu    sync.Mutex
	ended []*try
	news  chan struct{} // there are some in ended
}

// try is a state in the queue.
type try struct {
	saver   *saver.Saver
	flight  *flight.Flight
	bytes   int           // of its last save, and one; 0: it did not change
	pause   time.Duration // before the next
	due     time.Time
	tries   int
	must    bool
	counted bool
}

// newFinal returns the queue of those of savers that may be asked, the largest changes
// first: should the budget not suffice, they are safe. What did not change comes last.
func newFinal(savers []*saver.Saver, crew *flight.Crew, wants func(*saver.Saver) (may, must bool), patience time.Duration) *final {
	q := &final{crew: crew, wants: wants, patience: patience, width: flight.Slots, todo: make([]try, len(savers)), news: make(chan struct{}, 1)}
	sweep(len(savers), func(i int) {
		t := &q.todo[i]
		if may, must := wants(savers[i]); may {
			t.saver, t.must, t.bytes = savers[i], must, savers[i].SizeOfChange()
		}
	})
	q.todo = slices.DeleteFunc(q.todo, func(t try) bool { return t.saver == nil })
	slices.SortStableFunc(q.todo, func(a, b try) int { return b.bytes - a.bytes })
	q.may = len(q.todo)
	for i := range q.todo {
		if q.todo[i].must {
			q.must++
			q.bytes += q.todo[i].bytes
		}
	}
	return q
}

// sweep calls do for each of n, in runs, on all processors.
func sweep(n int, do func(i int)) {
	const run = 4096
	wait.Each((n+run-1)/run, 16, func(r int) {
		for i := r * run; i < min(n, (r+1)*run); i++ {
			do(i)
		}
	})
}

// run works the queue until nothing is left to do, ctx ends, or enough says so, which
// is asked now and then.
func (q *final) run(ctx context.Context, enough func() bool) {
	timer := time.NewTimer(q.patience)
	defer timer.Stop()
	for look := time.Now(); q.may > 0 && ctx.Err() == nil; {
		now := time.Now()
		if now.Sub(look) >= q.patience/2 {
			look = now
			q.relieve()
			if enough() {
				return
			}
		}
		q.fill(now)
		timer.Reset(q.rest(now))
		select {
		case <-q.news:
			q.settle()
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// rest is how long nothing will happen by itself.
func (q *final) rest(now time.Time) time.Duration {
	rest := q.patience / 2
	if len(q.later) > 0 {
		rest = min(rest, q.later[0].due.Sub(now))
	}
	return max(rest, time.Millisecond)
}

// fill asks for as many as may be under way: first who was not asked yet.
func (q *final) fill(now time.Time) {
	for q.counted < q.width {
		var t *try
		switch {
		case q.asked < len(q.todo):
			t = &q.todo[q.asked]
			q.asked++
		case len(q.later) > 0 && !q.later[0].due.After(now):
			t = heap.Pop(&q.later).(*try)
		default:
			return
		}
		q.ask(t)
	}
}

func (q *final) ask(t *try) {
	t.flight = t.saver.FinalRequest()
	t.counted = !t.flight.Behind() // it waits for another one, in no slot
	if t.counted {
		q.counted++
		q.window = append(q.window, t)
	}
	t.flight.Then(func() { q.end(t) })
	if len(q.window) > 4*q.width {
		q.window = slices.DeleteFunc(q.window, func(t *try) bool { return !t.counted })
	}
}

// end is called at the end of a flight, wherever that is.
func (q *final) end(t *try) {
	q.mu.Lock()
	q.ended = append(q.ended, t)
	q.mu.Unlock()
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// relieve lets others have the turns of those that hang.
func (q *final) relieve() {
	q.crew.Relieve(q.patience)
	q.window = slices.DeleteFunc(q.window, func(t *try) bool {
		if t.counted && t.flight.Lent() {
			t.counted = false
			q.counted--
		}
		return !t.counted
	})
}

// settle takes in what has ended.
func (q *final) settle() {
	q.mu.Lock()
	ended := q.ended
	q.ended = nil
	q.mu.Unlock()
	for _, t := range ended {
		if t.counted {
			t.counted = false
			q.counted--
		}
		if !q.again(t, t.flight.Wait(context.Background())) {
			q.over(t)
		}
	}
}

// again puts t back into the queue, unless it is over or of no use to ask again.
func (q *final) again(t *try, err error) bool {
	most := saver.Tries(err)
	if most < math.MaxInt {
		t.tries++ // outages do not count
	}
	_, must := q.wants(t.saver)
	if t.must && !must {
		q.done++
	}
	if !must || t.tries >= most {
		return false
	}
	if !t.must {
		t.must = true
		q.must++
		q.bytes += t.bytes
	}
	t.pause = min(lastFinalPause, wait.Jitter(firstFinalPause, max(2*firstFinalPause, 3*t.pause)))
	t.due = time.Now().Add(t.pause)
	heap.Push(&q.later, t)
	return true
}

// over takes t out.
func (q *final) over(t *try) {
	q.may--
	if t.must {
		q.must--
		q.bytes -= t.bytes
	}
}

// stuck reports that nothing is left but what hangs.
func (q *final) stuck() bool { return q.counted == 0 && q.asked == len(q.todo) && len(q.later) == 0 }

// later has the tries that failed, by when they are due: a heap.Interface.
type later []*try

func (l later) Len() int           { return len(l) }
func (l later) Less(i, j int) bool { return l[i].due.Before(l[j].due) }
func (l later) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *later) Push(t any)        { *l = append(*l, t.(*try)) }
func (l *later) Pop() any {
	last := len(*l) - 1
	t := (*l)[last]
	*l = (*l)[:last]
	return t
}
