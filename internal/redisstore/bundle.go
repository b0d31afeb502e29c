package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"
)

const (
	bundleItems = 64        // components in one call of the batch script,
	bundleBytes = 128 << 10 // and their bytes: the server does nothing else meanwhile
)

// An item is what the batch script is told about one component.
type item struct {
	op      string // "s" with what saveOp says, "c", "t"
	subject any    // value, epoch or attempt
}

// A bundle is the jobs that share one call of the batch script.
type bundle struct {
	jobs []*job
	cmd  *redis.Cmd
}

// bundles groups the items among jobs. Where the keys of one call must be in one
// slot every item has a call of its own.
func (s *Store) bundles(jobs []*job) []*bundle {
	single := s.isSingle()
	var all []*bundle
	var last *bundle
	size := 0
	for _, j := range jobs {
		if j.item == nil {
			continue
		}
		if last == nil || !single || len(last.jobs) == bundleItems || size+j.size > bundleBytes {
			last, size = &bundle{}, 0
			all = append(all, last)
		}
		last.jobs, size = append(last.jobs, j), size+j.size
	}
	return all
}

func (s *Store) queue(ctx context.Context, p redis.Pipeliner, b *bundle, name, script string) {
	args := make([]any, 3, 5+4*len(b.jobs))
	args[0], args[1], args[2] = name, script, 2*len(b.jobs)
	for i := range 2 { // pointers, since strings would be copied to the heap
		for _, j := range b.jobs {
			args = append(args, &j.keys[i])
		}
	}
	args[3] = b.jobs[0].keys[0] // go-redis looks for the slot here
	args = append(args, s.ttl.Milliseconds(), s.keep)
	for _, j := range b.jobs {
		args = append(args, &j.item.op, j.item.subject)
	}
	b.cmd = redis.NewCmd(ctx, args...)
	b.cmd.SetFirstKeyPos(3)
	_ = p.Process(ctx, b.cmd)
}

// settle gives each job its part of the reply.
func (b *bundle) settle(s *Store, failed error) {
	if len(b.jobs) > 1 && s.learnSlots(b.cmd) {
		failed = errScattered
		b.cmd.SetErr(failed)
	}
	list, _ := b.cmd.Val().([]any)
	for i, j := range b.jobs {
		j.cmd, j.failed = b.cmd, failed
		if len(list) == len(b.jobs) {
			j.reply = list[i]
		}
	}
}

// exec sends jobs as one pipeline and once more, as source, those whose script
// the server does not know.
func (s *Store) exec(ctx context.Context, jobs []*job, pipeline func() redis.Pipeliner) {
	p := pipeline()
	single := s.isSingle()
	bundles := s.bundles(jobs)
	for _, b := range bundles {
		s.queue(ctx, p, b, "evalsha", batchScript.sha)
	}
	var master *redis.BoolCmd
	for _, j := range jobs {
		switch {
		case j.script != nil:
			j.queue(ctx, p)
		case j.item == nil && single:
			master = j.queueRead(ctx, p, master)
		case j.item == nil:
			j.queueRead(ctx, p, nil)
		}
	}
	_, err := p.Exec(ctx) // each command carries its own error as well, if there is a server
	s.again(ctx, bundles, jobs, err, pipeline)
}

// again takes the replies in, after sending what the server did not know.
func (s *Store) again(ctx context.Context, bundles []*bundle, jobs []*job, failed error, pipeline func() redis.Pipeliner) {
	p := pipeline()
	for _, b := range bundles {
		if noScript(b.cmd) {
			s.queue(ctx, p, b, "eval", batchScript.source)
		}
	}
	for _, j := range jobs {
		j.failed = failed
		if j.script != nil && j.noScript() {
			j.requeue(ctx, p)
		}
	}
	if p.Len() > 0 {
		_, failed = p.Exec(ctx)
	}
	for _, b := range bundles {
		b.settle(s, failed)
	}
	for _, j := range jobs {
		if j.script != nil {
			j.reply = j.cmd.Val()
		}
	}
}
