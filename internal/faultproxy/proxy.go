// Package faultproxy stands between a Redis client and a server in tests and has
// accidents: it loses the reply to a request that was executed, delivers a
// request late or never, cuts, delays, freezes and refuses connections.
//
// It reads the Redis protocol, version 2 and without push messages, so that it
// knows where a request ends and that it was executed, and never has to wait for
// a time to pass.
package faultproxy

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// A Fault is what happens to one request.
type Fault int

// The faults of one request. Each ends its connection, except None and Stall.
const (
	None      Fault = iota
	LoseReply       // it is executed, and its reply never arrives
	Cut             // it is not delivered
	Hold            // it is not delivered until Late
	Stall           // it is executed, and the connection stays open in silence
)

// A Proxy forwards connections to one server. Its methods are safe for
// concurrent use.
type Proxy struct {
	server, addr string

	mu       sync.Mutex
	open     *sync.Cond // there is no freeze
	listener net.Listener
	conns    map[net.Conn]bool
	frozen   bool
	closed   bool
	delay    time.Duration
	choose   func(request []byte) Fault
	next     accident
	struck   bool
	held     [][]byte
	count    map[Fault]int
	wg       sync.WaitGroup
}

// An accident waits for its request.
type accident struct {
	needle string
	fault  Fault
	then   func()
}

// Start returns a proxy on a loopback port of its own in front of server.
func Start(server string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{server: server, addr: l.Addr().String(), conns: map[net.Conn]bool{}, count: map[Fault]int{}}
	p.open = sync.NewCond(&p.mu)
	p.listen(l)
	return p, nil
}

func (p *Proxy) listen(l net.Listener) {
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
}

// Addr returns the address to connect to.
func (p *Proxy) Addr() string { return p.addr }

// Close ends the proxy, its connections and its goroutines.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	l := p.listener
	p.mu.Unlock()
	p.Thaw()
	var err error
	if l != nil {
		err = l.Close()
	}
	p.CutAll()
	p.wg.Wait()
	return err
}

// Next makes the next request that contains needle meet fault. A request is a
// command together with the SETs right before it that contain needle as well. then,
// which may be nil, runs after the server has executed the request, where the
// fault lets it, and before the client can notice anything.
func (p *Proxy) Next(needle string, fault Fault, then func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.struck, p.held = accident{needle, fault, then}, false, nil
}

// Struck reports whether the accident that Next announced has happened.
func (p *Proxy) Struck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.struck
}

// Each asks choose about every request from now on; nil ends that.
func (p *Proxy) Each(choose func(request []byte) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choose = choose
}

// Count returns how often a fault happened.
func (p *Proxy) Count(f Fault) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[f]
}

// Late delivers what was held back, oldest first, and returns how many requests
// that were. What is delivered stays at hand, to be delivered again, until keep
// is false.
func (p *Proxy) Late(keep bool) (int, error) {
	p.mu.Lock()
	held := p.held
	if !keep {
		p.held = nil
	}
	p.mu.Unlock()
	for i, request := range held {
		if err := deliver(p.server, request); err != nil {
			return i, err
		}
	}
	return len(held), nil
}

// Delay holds every request up for d.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Freeze lets nothing pass in either direction while connections stay open and
// new ones are accepted. What arrives meanwhile passes after Thaw, also when its
// client has gone.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
}

// Thaw ends a freeze.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = false
	p.open.Broadcast()
}

// CutAll cuts every connection.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Refuse makes the system refuse new connections and cuts the others, until
// Accept.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.CutAll()
}

// Accept ends Refuse, on the same address.
func (p *Proxy) Accept() error {
	p.mu.Lock()
	listening, closed := p.listener != nil, p.closed
	p.mu.Unlock()
	if listening || closed {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.listen(l)
	return nil
}

// meant reports whether command is the one that Next waits for.
func (p *Proxy) meant(command []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next.needle != "" && bytes.Contains(command, []byte(p.next.needle))
}

// judge decides about a request.
func (p *Proxy) judge(request []byte) (Fault, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault, then := None, func() {}
	switch {
	case p.next.needle != "" && bytes.Contains(request, []byte(p.next.needle)):
		fault, p.struck = p.next.fault, true
		if p.next.then != nil {
			then = p.next.then
		}
		p.next = accident{}
	case p.choose != nil:
		fault = p.choose(request)
	}
	if fault == Hold {
		p.held = append(p.held, bytes.Clone(request))
	}
	p.count[fault]++
	return fault, then
}

// pass waits for the end of a freeze and of the delay.
func (p *Proxy) pass(delayed bool) {
	p.mu.Lock()
	for p.frozen {
		p.open.Wait()
	}
	d := p.delay
	p.mu.Unlock()
	if delayed && d > 0 {
		time.Sleep(d)
	}
}

// track lets CutAll know c, and reports false when the proxy is closed.
func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) forget(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
