package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	askTime     = 300 * time.Millisecond // for one node to tell who serves what, at first
	longAskTime = 2 * time.Second        // after others did not tell in time
)

// topology learns anew who serves what in a cluster: its client would notice a
// failover with its next periodic reload only. Made by newTopology.
type topology struct {
	busy chan struct{} // held by who reloads; he owns what follows
	last time.Time     // when the last reload began
	wait time.Duration // for one node
}

func newTopology() topology { return topology{busy: make(chan struct{}, 1), wait: askTime} }

// reload returns when the client knows the topology as it was after a failure at
// that time, when ctx ends, or when no node tells it. All who failed together
// share one reload.
func (t *topology) reload(ctx context.Context, client redis.UniversalClient, failed time.Time) {
	c, ok := client.(*redis.ClusterClient)
	if !ok {
		return
	}
	select {
	case t.busy <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-t.busy }()
	if t.last.After(failed) {
		return
	}
	t.last = time.Now()
	q := &question{limit: t.wait}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, question{}, q), longAskTime)
	defer cancel()
	_ = c.ForEachMaster(ctx, func(context.Context, *redis.Client) error { return nil }) // it reloads, and waits for that
	if t.wait = askTime; !q.answered {
		t.wait = min(2*q.limit, longAskTime)
	}
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
