package redisstore_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A proxy stands between a store and a server and has one accident.
type proxy struct {
	t      *testing.T
	server string
	l      net.Listener

	mu     sync.Mutex
	needle string // the request that contains it meets the accident
	lose   bool   // true: it is executed and the reply is lost; false: it is held back
	then   func() // runs before the client learns of it
	held   []byte
}

// through returns e as seen through a proxy.
func (e *env) through() (*env, *proxy) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(e.t, err)
	p := &proxy{t: e.t, server: strings.TrimPrefix(e.url, "redis://"), l: l}
	e.t.Cleanup(func() { _ = l.Close() })
	go p.serve()
	via := *e
	via.url = "redis://" + l.Addr().String()
	return &via, p
}

func (p *proxy) loseReplyTo(needle string, then func()) { p.arm(needle, true, then) }
func (p *proxy) hold(needle string, then func())        { p.arm(needle, false, then) }

func (p *proxy) arm(needle string, lose bool, then func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.needle, p.lose, p.then, p.held = needle, lose, then, nil
}

func (p *proxy) serve() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		go p.forward(c)
	}
}

func (p *proxy) forward(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	var lost sync.Mutex // locked while replies must not pass
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			lost.Lock()
			_, err2 := client.Write(buf[:n])
			lost.Unlock()
			if err != nil || err2 != nil {
				_ = client.Close()
				return
			}
		}
	}()
	buf := make([]byte, 1<<20)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if p.meant(buf[:n]) {
			n = gather(client, buf, n)
		}
		lose, accident, then := p.strike(buf[:n])
		if accident {
			lost.Lock()
			if lose {
				_, _ = server.Write(buf[:n])
				p.settle(server)
			}
			if then != nil {
				then()
			}
			_ = client.Close()
			lost.Unlock()
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) meant(chunk []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.needle != "" && bytes.Contains(chunk, []byte(p.needle))
}

// gather reads the rest of a pipeline that ends with a script.
func gather(c net.Conn, buf []byte, n int) int {
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	for !bytes.Contains(buf[:n], []byte("evalsha")) {
		m, err := c.Read(buf[n:])
		if err != nil {
			return n
		}
		n += m
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	m, _ := c.Read(buf[n:])
	_ = c.SetReadDeadline(time.Time{})
	return n + m
}

// settle returns once the server has executed what was sent to it: it answers
// a later command on another connection, and it is single-threaded.
func (p *proxy) settle(net.Conn) { p.send([]byte("PING\r\n")) }

func (p *proxy) strike(chunk []byte) (lose, accident bool, then func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.needle == "" || !bytes.Contains(chunk, []byte(p.needle)) {
		return false, false, nil
	}
	p.needle, p.held = "", bytes.Clone(chunk)
	return p.lose, true, p.then
}

// struck reports whether the accident has happened.
func (p *proxy) struck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held != nil
}

// late delivers the request that was held back.
func (p *proxy) late() {
	p.t.Helper()
	require.True(p.t, p.struck(), "nothing was held back")
	require.NotEmpty(p.t, p.send(p.held))
}

func (p *proxy) send(b []byte) []byte {
	c, err := net.Dial("tcp", p.server)
	if err != nil {
		return nil
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = c.Write(b)
	_, _ = c.Write([]byte("QUIT\r\n"))
	reply, _ := io.ReadAll(c)
	return reply
}
