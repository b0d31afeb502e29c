package foreign

import (
	"sync"
	"time"
)

const (
	// mostIdle is how many helpers wait for their next call. Calls that take long, of
	// which there may be more at a time, can afford a new goroutine.
	mostIdle = 16
	// leftIdle is how long helpers wait that nobody calls.
	leftIdle = time.Second
)

// Helpers are goroutines in which foreign code is called one call after the other: a
// new one for each costs more than a small save. None is left when nobody has called
// for a while, or after End. The zero value is ready to use, nil Helpers make a
// goroutine for every call; both are safe for concurrent use.
type Helpers struct {
	mu    sync.Mutex
	idle  []*helper
	used  bool        // since the last sweep
	sweep *time.Timer // nil: none is idle
	over  bool
}

// Call is the function [Call].
func (p *Helpers) Call(in string, fn func() error) error {
	h := p.ask(in, fn)
	return p.take(h, <-h.done)
}

// ask makes a helper call fn and say on done when that is over; take then frees it.
func (p *Helpers) ask(in string, fn func() error) *helper {
	h := p.next()
	if h == nil {
		h = &helper{done: make(chan error, 1)}
		if p == nil {
			h.in, h.fn = in, fn
			go h.call()
			return h
		}
		h.calls = make(chan struct{}, 1)
		go h.run()
	}
	h.in, h.fn = in, fn
	h.calls <- struct{}{}
	return h
}

// next returns a helper that is idle, nil for none.
func (p *Helpers) next() *helper {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = true
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	h := p.idle[last] // its stack is the warmest
	p.idle[last], p.idle = nil, p.idle[:last]
	return h
}

// take takes h back, which has ended a call with err, and returns that.
func (p *Helpers) take(h *helper, err error) error {
	if p != nil && !h.gone && !p.keep(h) {
		close(h.calls)
	}
	return err
}

func (p *Helpers) keep(h *helper) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || len(p.idle) == mostIdle {
		return false
	}
	p.idle = append(p.idle, h)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(leftIdle, p.endIdle)
	}
	return true
}

// endIdle ends the helpers unless they were called lately.
func (p *Helpers) endIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used && !p.over {
		p.used = false
		p.sweep.Reset(leftIdle)
		return
	}
	p.endAll()
}

// endAll ends those that are idle. The caller holds p.mu.
func (p *Helpers) endAll() {
	for _, h := range p.idle {
		close(h.calls)
		<-h.done
	}
	p.idle, p.sweep = nil, nil
}

// End ends the helpers; later calls have goroutines of their own. nil has none.
func (p *Helpers) End() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over = true; p.sweep != nil {
		p.sweep.Stop()
	}
	p.endAll()
}

// helper is one goroutine.
type helper struct {
	calls chan struct{} // closed: there are no more
	done  chan error    // what each call ended with; closed at the end
	timer *time.Timer   // of who waits only so long; nil: not yet

	// Written by the caller before a call, and by the helper until it is done.
	in   string
	fn   func() error
	err  error
	gone bool // the call has ended the goroutine
}

func (h *helper) run() {
	for range h.calls {
		h.call()
	}
	close(h.done)
}

// call makes one call.
func (h *helper) call() {
	h.gone, h.err = true, nil // unless the end is reached
	defer func() {
		if h.fn = nil; h.gone && h.err == nil {
			h.err = &Failure{In: h.in}
		}
		h.done <- h.err
	}()
	h.guarded()
	h.gone = false
}

func (h *helper) guarded() {
	defer Catch(h.in, &h.err)
	h.err = checked(h.fn())
}
