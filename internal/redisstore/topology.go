package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/internal/foreign"
)

const (
	askTime     = 300 * time.Millisecond // for one node to tell who serves what, at first
	longAskTime = 2 * time.Second        // after others did not tell in time
)

// A topology learns anew who serves what in a cluster: its client would notice a
// failover with its next periodic reload only. A nil one, of a single server, has
// nothing to learn.
type topology struct {
	client *redis.ClusterClient
	ctx    context.Context // ends with Close
	wg     sync.WaitGroup

	mu     sync.Mutex
	began  time.Time     // the last reload
	ended  chan struct{} // closed when that one ends
	wait   time.Duration // for one node
	closed bool
}

func newTopology(ctx context.Context, client *redis.ClusterClient) *topology {
	t := &topology{client: client, ctx: ctx, ended: make(chan struct{}), wait: askTime}
	close(t.ended)
	return t
}

// reload returns when the client knows the topology as it was after something
// failed at that time, when no node told it, or when ctx ends; the reload goes on
// for the next call then. All who failed together share one.
func (t *topology) reload(ctx context.Context, failed time.Time) {
	if t == nil {
		return
	}
	for fresh := false; !fresh; {
		var ended chan struct{}
		ended, fresh = t.begin(failed)
		select {
		case <-ended:
		case <-ctx.Done():
			return
		}
	}
}

// begin starts a reload unless one is under way or has begun since failed, and
// returns when that ends and whether it began since failed.
func (t *topology) begin(failed time.Time) (ended chan struct{}, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.began.Before(failed) || t.closed {
		return t.ended, true
	}
	select {
	case <-t.ended:
	default:
		return t.ended, false
	}
	done, limit := make(chan struct{}), t.wait
	t.began, t.ended = time.Now(), done
	t.wg.Go(func() { t.ask(limit, done) })
	return t.ended, true
}

func (t *topology) ask(limit time.Duration, ended chan struct{}) {
	defer close(ended)
	q := &question{limit: limit}
	ctx, cancel := context.WithTimeout(context.WithValue(t.ctx, question{}, q), longAskTime)
	defer cancel()
	_ = foreign.Call(theClient, func() error { // it reloads, and waits for that
		return t.client.ForEachMaster(ctx, func(context.Context, *redis.Client) error { return nil })
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wait = askTime; !q.answered {
		t.wait = min(2*limit, longAskTime)
	}
}

// close waits until nothing is asked any more.
func (t *topology) close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.wg.Wait()
}

// A question for the topology goes to one node after the other. It is its own
// key in a context.
type question struct {
	limit    time.Duration // for one node
	answered bool
}

// bounded keeps a node that hangs from holding up a question that another one
// would answer.
func bounded(c *redis.ClusterClient) *redis.ClusterClient {
	c.OnNewNode(func(node *redis.Client) { node.AddHook(questions{}) })
	return c
}

type questions struct{} // implements redis.Hook

func (questions) DialHook(next redis.DialHook) redis.DialHook {
	return next
}

func (questions) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (questions) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		q, ok := ctx.Value(question{}).(*question)
		if !ok {
			return next(ctx, cmd)
		}
		ctx, cancel := context.WithTimeout(ctx, q.limit)
		defer cancel()
		err := next(ctx, cmd)
		q.answered = err == nil
		return err
	}
}
