package redisstore

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// A job is one try of one operation: a script, or the plain read of a state. It
// is sent at most once; another try is another job.
type job struct {
	script  *script
	keys    []string
	args    []any
	stage   []byte // put at keys[2] before the script runs
	read    int    // without a script: read that many bytes of keys[0] and the record at keys[1]
	durable bool   // wants the configured durability confirmed
	size    int

	staged *redis.StatusCmd
	cmd    *redis.Cmd
	master *redis.BoolCmd
	value  *redis.StringCmd
	fields *redis.SliceCmd

	patience time.Duration // how long it may take, without its bytes
	until    time.Time     // the end of its caller's patience, if he sends it himself
	given    bool          // its caller has left; protected by batcher.mu
	failed   error         // of the whole pipeline
	short    error         // stored, but not confirmed by enough
	done     chan struct{}
}

// key names the cluster slot.
func (j *job) key() string { return j.keys[0] }

func (j *job) queue(ctx context.Context, p redis.Pipeliner) {
	if j.script == nil {
		j.master = p.Persist(ctx, j.keys[1]) // changes nothing, and a replica refuses it
		j.value = p.GetRange(ctx, j.keys[0], 0, int64(j.read)-1)
		j.fields = p.HMGet(ctx, j.keys[1], recordFields...)
		return
	}
	if j.stage != nil {
		j.staged = p.Set(ctx, j.keys[2], j.stage, stageTTL)
	}
	j.cmd = p.EvalSha(ctx, j.script.sha, j.keys, j.args...)
}

// requeue sends the script itself after the server said that it does not know it.
func (j *job) requeue(ctx context.Context, p redis.Pipeliner) {
	j.cmd = p.Eval(ctx, j.script.source, j.keys, j.args...)
}

func (j *job) noScript() bool {
	return j.cmd != nil && j.cmd.Err() != nil && hasCode(j.cmd.Err(), "NOSCRIPT")
}

// err returns why the job has no result. A pipeline that found no server may
// leave its commands without an error and without a reply: go-redis takes a
// sentinel's error, which wraps redis.Nil, for a reply.
func (j *job) err() error {
	switch {
	case j.script != nil && j.cmd.Err() != nil:
		return j.cmd.Err()
	case j.lacksStage():
		return cmp.Or(j.staged.Err(), errNoStage)
	case j.script != nil && j.cmd.Val() == nil, j.script == nil && len(j.fields.Val()) != len(recordFields):
		return cmp.Or(j.fieldsErr(), j.failed, errNoReply)
	}
	return j.fieldsErr()
}

func (j *job) fieldsErr() error {
	if j.script != nil {
		return nil
	}
	if err := j.master.Err(); err != nil && hasCode(err, "READONLY") {
		return err
	}
	return cmp.Or(j.value.Err(), j.fields.Err())
}

// lacksStage reports that the script did not find the value that was staged
// for it, as when a failover came between the two.
func (j *job) lacksStage() bool {
	if j.script == nil || j.staged == nil {
		return false
	}
	a, err := parseAnswer(j.cmd.Val())
	return err == nil && a.code() == "NOSTAGE"
}

var errNoStage = errors.New("the staged value vanished before it could be saved: if the server is evicting keys, set maxmemory-policy noeviction")

var errNoReply = errors.New("the server gave no reply")

// answer returns what the script said.
func (j *job) answer() (answer, error) {
	return parseAnswer(j.cmd.Val())
}

// exec sends jobs as one pipeline through p and once more, as source, those
// whose script the server does not know.
func exec(ctx context.Context, jobs []*job, pipeline func() redis.Pipeliner) {
	p := pipeline()
	for _, j := range jobs {
		j.queue(ctx, p)
	}
	_, err := p.Exec(ctx) // each command carries its own error as well, if there is a server
	var again []*job
	for _, j := range jobs {
		j.failed = err
		if j.noScript() {
			again = append(again, j)
		}
	}
	if len(again) == 0 {
		return
	}
	p = pipeline()
	for _, j := range again {
		j.requeue(ctx, p)
	}
	_, err = p.Exec(ctx)
	for _, j := range again {
		j.failed = err
	}
}
