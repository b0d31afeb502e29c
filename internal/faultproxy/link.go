package faultproxy

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// patience bounds what only hangs when the server does.
const patience = 10 * time.Second

// A link is one connection of a client and its counterpart to the server.
type link struct {
	p              *Proxy
	client, server net.Conn
	in             *bufio.Reader // of the client

	mu       sync.Mutex
	answered *sync.Cond
	asked    int  // commands delivered
	replies  int  // complete replies seen
	silent   bool // replies are not passed on
	gone     bool // the server's side has ended
}

func (p *Proxy) serve(client net.Conn) {
	if !p.track(client) {
		return
	}
	defer p.forget(client)
	server, err := net.DialTimeout("tcp", p.server, patience)
	if err != nil || !p.track(server) {
		return
	}
	defer p.forget(server)
	l := &link{p: p, client: client, server: server, in: bufio.NewReaderSize(client, 64<<10)}
	l.answered = sync.NewCond(&l.mu)
	p.wg.Go(l.back)
	l.forth()
}

// forth passes requests on until one meets an accident that ends the connection.
func (l *link) forth() {
	for {
		request, n, err := l.request()
		if err != nil {
			return
		}
		l.p.pass(true)
		fault, then := l.p.judge(request)
		switch fault {
		case None:
			if !l.deliver(request, n) {
				return
			}
			continue
		case LoseReply, Stall:
			l.hush()
			l.deliver(request, n)
			l.await()
		}
		then()
		if fault != Stall {
			return
		}
	}
}

// request returns one request and how many commands it has.
func (l *link) request() (request []byte, n int, err error) {
	for {
		command, name, err := readCommand(l.in)
		if err != nil {
			return nil, 0, err
		}
		request, n = append(request, command...), n+1
		if name != "set" || !l.p.meant(command) {
			return request, n, nil
		}
	}
}

func (l *link) deliver(request []byte, n int) bool {
	l.mu.Lock()
	l.asked += n
	l.mu.Unlock()
	_, err := l.server.Write(request)
	return err == nil
}

// hush waits for the replies to earlier requests and passes none on from there.
func (l *link) hush() {
	l.await()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = true
}

// await returns once everything delivered was answered, or never will be.
func (l *link) await() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.replies < l.asked && !l.gone {
		l.answered.Wait()
	}
}

// back passes replies on.
func (l *link) back() {
	in := bufio.NewReaderSize(l.server, 64<<10)
	for {
		reply, err := readReply(in)
		if err != nil {
			break
		}
		l.p.pass(false)
		if !l.isSilent() {
			if _, err = l.client.Write(reply); err != nil {
				break
			}
		}
		l.saw()
	}
	_ = l.client.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	l.answered.Broadcast()
}

func (l *link) isSilent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent
}

func (l *link) saw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replies++
	l.answered.Broadcast()
}
