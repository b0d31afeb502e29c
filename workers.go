package durable

import "sync"

const (
	saveSlots  = 256     // components are captured and saved at a time, whatever their size,
	smallSlots = 1024    // and that many while all of their states together
	smallBytes = 4 << 20 // take no more than this

	unknownBytes = smallBytes / saveSlots // are counted for a state that is yet to be captured
)

// workers land flights of any number of components, in the order in which they
// were asked for, each in a goroutine that goes on to the next one. None is left
// when nobody waits.
type workers struct {
	c *Checkpointer

	mu      sync.Mutex
	queue   []*flight // empty unless all slots are taken
	running int
	bytes   int // of the states of those that run

	shifts shifts
}

// hand has f landed, or returns false when Close is over.
func (w *workers) hand(f *flight) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.free() {
		return w.wait(f)
	}
	if !w.c.enter() {
		return false
	}
	w.take(f)
	w.start(f)
	return true
}

func (w *workers) start(f *flight) {
	go func() {
		defer w.c.exited()
		for f != nil {
			f = w.next(f, f.fly())
		}
	}()
}

// free reports whether there is a slot. The caller holds w.mu.
func (w *workers) free() bool {
	return w.running < saveSlots || w.running < smallSlots && w.bytes+unknownBytes <= smallBytes
}

// take gives f a slot. The caller holds w.mu.
func (w *workers) take(f *flight) {
	f.room = unknownBytes
	w.bytes += f.room
	w.running++
}

// weigh notes that the state of f, which has a slot, takes n bytes.
func (w *workers) weigh(f *flight, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += n - f.room
	f.room = n
	w.fill()
}

// wait queues f. The caller holds w.mu.
func (w *workers) wait(f *flight) bool {
	if w.c.over() {
		return false
	}
	w.queue = append(w.queue, f)
	return true
}

// next takes back the slot of f, queues again, if it is not nil, and returns whose
// turn it is; nil when nobody waits, or there is no slot.
func (w *workers) next(f, again *flight) (turn *flight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running--
	w.bytes -= f.room
	if again != nil {
		w.queue = append(w.queue, again)
	}
	if len(w.queue) > 0 && w.free() {
		turn = w.pop()
	}
	w.fill()
	return turn
}

// fill starts whoever waits while there are slots. The caller holds w.mu.
func (w *workers) fill() {
	for len(w.queue) > 0 && w.free() && w.c.enter() {
		w.start(w.pop())
	}
}

// pop gives the first of the queue a slot. The caller holds w.mu.
func (w *workers) pop() *flight {
	f := w.queue[0]
	w.queue[0] = nil
	if w.queue = w.queue[1:]; len(w.queue) == 0 {
		w.queue = nil
	}
	w.take(f)
	return f
}

// spawn runs fn in a goroutine that Close waits for, or returns false when
// Close is over.
func (c *Checkpointer) spawn(fn func()) bool {
	if !c.enter() {
		return false
	}
	go func() {
		defer c.exited()
		fn()
	}()
	return true
}

// enter makes Close wait for exited, or returns false when Close is over.
func (c *Checkpointer) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.finished {
		c.running++
	}
	return !c.finished
}

// over reports that nothing may begin any more.
func (c *Checkpointer) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished
}

func (c *Checkpointer) exited() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if c.finished && c.running == 0 {
		close(c.idle)
	}
}
