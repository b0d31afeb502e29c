package durable

import "sync"

// saveSlots bounds how many components are captured and saved at a time.
const saveSlots = 256

// workers land the flights of any number of components, in the order in which the
// components asked, each in a goroutine that goes on to the next one. None is left
// when nobody waits.
type workers struct {
	c *Checkpointer

	mu      sync.Mutex
	queue   []*member // empty unless running is saveSlots
	running int

	shifts shifts
}

// hand has the flights of m landed, or returns false when Close is over.
func (w *workers) hand(m *member) (ok, lead bool) {
	ok, free := w.lead(m)
	if free {
		w.start(m)
	}
	return ok, false
}

// lead is hand, but when a slot is free the caller is to land the flight himself,
// with run: handing it over would cost more than the save.
func (w *workers) lead(m *member) (ok, lead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running == saveSlots {
		return w.wait(m), false
	}
	if !w.c.enter() {
		return false, false
	}
	w.running++
	return true, true
}

// run lands one flight of m in the caller's goroutine and leaves what else waits
// to another one.
func (w *workers) run(m *member) {
	if next := w.next(m.work()); next != nil {
		w.start(next)
		return
	}
	w.c.exited()
}

func (w *workers) start(m *member) {
	go func() {
		defer w.c.exited()
		for m != nil {
			m = w.next(m.work())
		}
	}()
}

// wait queues m. The caller holds w.mu.
func (w *workers) wait(m *member) bool {
	if w.c.over() {
		return false
	}
	w.queue = append(w.queue, m)
	return true
}

// next queues again, if it is not nil, and takes whose turn it is; nil when
// nobody waits.
func (w *workers) next(again *member) *member {
	w.mu.Lock()
	defer w.mu.Unlock()
	if again != nil {
		w.queue = append(w.queue, again)
	}
	if len(w.queue) == 0 {
		w.queue = nil
		w.running--
		return nil
	}
	m := w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	return m
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
