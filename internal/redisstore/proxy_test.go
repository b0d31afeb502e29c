package redisstore_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/faultproxy"
)

// A proxy stands between a store and a server and has one accident.
type proxy struct {
	*faultproxy.Proxy
	t *testing.T
}

// through returns e as seen through a proxy.
func (e *env) through() (*env, *proxy) {
	p, err := faultproxy.Start(strings.TrimPrefix(e.url, "redis://"))
	require.NoError(e.t, err)
	e.t.Cleanup(func() { _ = p.Close() })
	via := *e
	via.url = "redis://" + p.Addr()
	return &via, &proxy{p, e.t}
}

// loseReplyTo has the request that contains needle executed and its reply lost.
func (p *proxy) loseReplyTo(needle string, then func()) { p.Next(needle, faultproxy.LoseReply, then) }

// hold keeps the request that contains needle back.
func (p *proxy) hold(needle string, then func()) { p.Next(needle, faultproxy.Hold, then) }

// struck reports whether the accident has happened.
func (p *proxy) struck() bool { return p.Struck() }

// late delivers the request that was held back, as often as it is called.
func (p *proxy) late() {
	p.t.Helper()
	n, err := p.Late(true)
	require.NoError(p.t, err)
	require.Equal(p.t, 1, n, "nothing was held back")
}
