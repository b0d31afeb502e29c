package redisstore

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// lanes are batchers, in a cluster one for each node, so that a node that hangs
// does not hold up the components of the others.
type lanes struct {
	s *Store

	mu     sync.Mutex
	nodes  map[string]*batcher // by address; "" where there is one server, or none is known
	closed bool
}

func newLanes(s *Store) *lanes { return &lanes{s: s, nodes: map[string]*batcher{}} }

// of returns the batcher for what is sent to the node that has key.
func (l *lanes) of(ctx context.Context, key string) *batcher {
	node := ""
	if c, ok := l.s.client.(*redis.ClusterClient); ok {
		if n, err := await(ctx, l.s, func() (*redis.Client, error) { return c.MasterForKey(ctx, key) }); err == nil {
			node = n.Options().Addr
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.nodes[node]
	if b == nil {
		b = newBatcher(l.s.run, l.s.prompt)
		b.closed = l.closed
		l.nodes[node] = b
	}
	return b
}

// close refuses new jobs and waits for those under way.
func (l *lanes) close() {
	l.mu.Lock()
	l.closed = true
	var all []*batcher
	for _, b := range l.nodes {
		all = append(all, b)
	}
	l.mu.Unlock()
	for _, b := range all {
		b.close()
	}
}
