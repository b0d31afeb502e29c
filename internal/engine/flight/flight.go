// Package flight makes few calls out of many: at most one call of a task is under way,
// and whoever comes meanwhile shares the next. A [Crew] runs so many at a time.
package flight

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/durablestate/durable/internal/engine/wait"
	"github.com/durablestate/durable/internal/foreign"
)

// A Task is what a flight is a call of.
type Task interface {
	sync.Locker          // guards the Line
	Line() *Line         // of the task's own; always the same
	Fly(f *Flight) error // is called by a Crew, never twice at a time
}

// A Line has the flights of one task, whose lock is held by whoever asks it.
type Line struct {
	last *Flight // that was asked for last; nil: none is under way
}

// Last returns the flight that was asked for last, nil when none is under way. Idle
// reports that none is, and Quiet that it has come to its end at least.
func (l *Line) Last() *Flight { return l.last }
func (l *Line) Idle() bool    { return l.last == nil }
func (l *Line) Quiet() bool   { return l.last == nil || l.last.Over() }

// Flight is one call that any number of callers wait for.
type Flight struct {
	task   Task
	behind bool // another one of its task was under way when it was asked for
	begun  bool // guarded by the task's lock

	// Guarded by the crew's lock.
	room       int       // bytes that the crew counts for it
	calls      time.Time // code of its task was called then, and has not returned
	prev, next *Flight   // in the crew's ring; nil: it is not there
	lent       atomic.Bool

	mu   sync.Mutex
	over bool
	err  error         // written by who runs it, until it is over
	done chan struct{} // made by the first who has to wait
	then func()
}

// Behind reports that the flight was asked for while another one of its task was
// under way, so that it has no slot of its own before that ends.
func (f *Flight) Behind() bool { return f.behind }

// Lent reports that others have the slot of the flight: see Crew.Relieve.
func (f *Flight) Lent() bool { return f.lent.Load() }

// Done returns a flight that has come to its end.
func Done(err error) *Flight { return &Flight{over: true, err: err} }

func (f *Flight) finish(err error) {
	f.mu.Lock()
	f.over, f.err = true, err
	if f.done != nil {
		close(f.done)
	}
	then := f.then
	f.mu.Unlock()
	if then != nil {
		then()
	}
}

// Then calls fn when the flight has come to its end, at once if it has. It is for one
// who waits for many: only one may ask.
func (f *Flight) Then(fn func()) {
	f.mu.Lock()
	over := f.over
	f.then = fn
	f.mu.Unlock()
	if over {
		fn()
	}
}

// Over reports that the flight has come to its end.
func (f *Flight) Over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// ended returns what is closed at the flight's end, nil when that has come.
func (f *Flight) ended() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return nil
	}
	if f.done == nil {
		f.done = make(chan struct{})
	}
	return f.done
}

// Wait returns what the call returned, or the error of ctx if that ends first.
func (f *Flight) Wait(ctx context.Context) error {
	if done := f.ended(); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			if !f.Over() {
				return ctx.Err()
			}
		}
	}
	return f.err
}

// How many flights a Crew has under way.
const (
	SmallSlots = 1024    // while all of their states together
	smallBytes = 4 << 20 // take no more than this,
	Slots      = 256     // and that many while they
	mostBytes  = 32 << 20
	fewSlots   = 4 // whatever the size of their states

	// Bytes that are counted for a state that is yet to be captured: what the last
	// ones took on average, and not less than least.
	leastBytes = smallBytes / Slots
	firstBytes = 512 << 10 // before there was any
	averaged   = 8

	// mostLent bounds the goroutines that calls which do not return may take.
	mostLent = 8 * Slots
)

// Crew runs flights of any number of tasks, in the order in which they were asked
// for, each in a goroutine that goes on to the next one. None is left when nobody
// waits. It is safe for concurrent use.
type Crew struct {
	routines *wait.Routines

	mu      sync.Mutex
	queue   []*Flight // empty unless all slots are taken
	running int       // flights that have a slot
	bytes   int       // of the states of those
	usual   int       // bytes of a state
	lent    int       // slots
	calling Flight    // ring of those whose calls have not returned and that have a slot, in the order of the calls
}

// NewCrew returns a crew whose goroutines are among routines.
func NewCrew(routines *wait.Routines) *Crew {
	c := &Crew{routines: routines, usual: firstBytes}
	c.calling.prev, c.calling.next = &c.calling, &c.calling
	return c
}

// Beside runs fn in a goroutine of its own among those of the crew, or returns false
// when none can begin any more.
func (c *Crew) Beside(fn func()) bool { return c.routines.Go(fn) }

// Join returns a flight of t that begins after the call: one that gathers, or a
// new one. It is nil when no flight can begin any more.
func (c *Crew) Join(t Task) *Flight {
	t.Lock()
	defer t.Unlock()
	line := t.Line()
	busy := line.last != nil
	if busy && !line.last.begun {
		return line.last
	}
	f := &Flight{task: t, behind: busy}
	if !busy && !c.enlist(f) {
		return nil
	}
	line.last = f
	return f
}

// enlist runs f as soon as there is a slot; false: none can begin any more.
func (c *Crew) enlist(f *Flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.free() {
		if c.routines.Over() {
			return false
		}
		c.queue = append(c.queue, f)
		return true
	}
	if !c.routines.Enter() {
		return false
	}
	c.take(f)
	go c.run(f)
	return true
}

// run runs f and then whoever's turn it is. Should a call end its goroutine, which no
// task should let happen, another one goes on in its place.
func (c *Crew) run(f *Flight) {
	defer func() {
		if f == nil {
			c.routines.Exit()
			return
		}
		go c.run(f)
	}()
	for f != nil {
		c.runOne(&f)
	}
}

// runOne runs *f and makes it whose turn it is then.
func (c *Crew) runOne(f **Flight) {
	this := *f
	defer func() { *f = c.next(this, this.land()) }()
	t := this.task
	t.Lock()
	this.begun = true // whoever comes from here on needs another flight
	t.Unlock()
	this.err = errNoEnd
	this.err = t.Fly(this)
}

var errNoEnd = &foreign.Failure{In: "what is called for a save"}

// land ends the flight and returns the task's flight that gathered meanwhile.
func (f *Flight) land() (again *Flight) {
	f.finish(f.err)
	t := f.task
	t.Lock()
	defer t.Unlock()
	line := t.Line()
	if line.last != f {
		return line.last
	}
	line.last = nil
	return nil
}

// free reports whether there is a slot. The caller holds c.mu.
func (c *Crew) free() bool {
	bytes := c.bytes + c.usual
	return c.running < fewSlots || c.running < Slots && bytes <= mostBytes || c.running < SmallSlots && bytes <= smallBytes
}

// take gives f a slot. The caller holds c.mu.
func (c *Crew) take(f *Flight) {
	f.room = c.usual
	c.bytes += f.room
	c.running++
}

// drop takes the slot of f back. The caller holds c.mu.
func (c *Crew) drop(f *Flight) {
	c.running--
	c.bytes -= f.room
}

// Call notes that f, which is under way, calls code of its task to get its state.
func (c *Crew) Call(f *Flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.calls = time.Now()
	f.prev, f.next = c.calling.prev, &c.calling
	f.prev.next, c.calling.prev = f, f
}

// returned notes that the call has returned, so that f needs a slot again, also if
// there is none. The caller holds c.mu.
func (c *Crew) returned(f *Flight) {
	c.forget(f)
	if f.lent.Swap(false) {
		c.lent--
		c.running++
		c.bytes += f.room
	}
}

// forget takes f out of the ring. The caller holds c.mu.
func (c *Crew) forget(f *Flight) {
	if f.next != nil {
		f.prev.next, f.next.prev = f.next, f.prev
		f.prev, f.next = nil, nil
	}
}

// Weigh notes that the call has returned, with a state that takes n bytes.
func (c *Crew) Weigh(f *Flight, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.returned(f)
	c.bytes += n - f.room
	f.room = n
	c.usual = max(leastBytes, c.usual+(n-c.usual)/averaged)
	c.fill()
}

// Usual is how many bytes a state takes on average, as far as that is known.
func (c *Crew) Usual() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.usual
}

// Relieve lends the slots of flights to others whose calls have not returned for so
// long, so that tasks that hang do not keep the others from their turns.
func (c *Crew) Relieve(patience time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := c.calling.next; f != &c.calling && c.lent < mostLent && time.Since(f.calls) >= patience; f = c.calling.next {
		c.forget(f)
		f.lent.Store(true)
		c.lent++
		c.drop(f)
	}
	c.fill()
}

// next takes back the slot of f, queues again, if it is not nil, and returns whose
// turn it is; nil when nobody waits, or there is no slot.
func (c *Crew) next(f, again *Flight) (turn *Flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.returned(f)
	c.drop(f)
	if again != nil {
		c.queue = append(c.queue, again)
	}
	if len(c.queue) > 0 && c.free() {
		turn = c.pop()
	}
	c.fill()
	return turn
}

// fill starts whoever waits while there are slots. The caller holds c.mu.
func (c *Crew) fill() {
	for len(c.queue) > 0 && c.free() && c.routines.Enter() {
		go c.run(c.pop())
	}
}

// pop gives the first of the queue a slot. The caller holds c.mu.
func (c *Crew) pop() *Flight {
	f := c.queue[0]
	c.queue[0] = nil
	if c.queue = c.queue[1:]; len(c.queue) == 0 {
		c.queue = nil
	}
	c.take(f)
	return f
}
