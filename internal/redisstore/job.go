package redisstore

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// A job is one try of one operation: a part of a batch, a script, a takeover of
// many components, or the plain read of a state. It is sent at most once; another
// try is another job.
type job struct {
	item       *item     // a part of a batch
	script     *script   // else, if not nil
	takeover   *takeover // else, if not nil
	keys       [3]string
	args       []any
	stage      []byte // put at keys[2] before the script runs
	read       int    // without a script: read that many bytes of keys[0]
	wantsFence bool   // and the fence at keys[1]
	durable    bool   // wants the configured durability confirmed
	owns       bool   // takes ownership and saves no state
	size       int

	staged *redis.StatusCmd
	cmd    *redis.Cmd
	reply  any // what cmd says to this job
	master *redis.BoolCmd
	value  *redis.StringCmd
	line   *redis.StringCmd

	patience time.Duration // how long it may take, without its bytes
	until    time.Time     // the end of its caller's patience, if he sends it himself
	given    bool          // its caller has left; protected by batcher.mu
	failed   error         // of the whole pipeline
	broken   error         // why nothing is known: the client's code did not return
	short    error         // stored, but not confirmed by enough
	done     chan struct{}
}

// key names the cluster slot.
func (j *job) key() string { return j.keys[0] }

// named returns the keys that there are.
func (j *job) named() []string {
	n := len(j.keys)
	for j.keys[n-1] == "" {
		n--
	}
	return j.keys[:n]
}

// isScript reports that a script answers.
func (j *job) isScript() bool { return j.item != nil || j.script != nil }

func (j *job) queue(ctx context.Context, p redis.Pipeliner) {
	if j.stage != nil {
		j.staged = p.Set(ctx, j.keys[2], j.stage, stageTTL)
	}
	j.cmd = p.EvalSha(ctx, j.script.sha, j.named(), j.args...)
}

// queueRead asks for the state. Where one server answers the whole pipeline it is
// enough that master, already asked, has shown it to be no replica.
func (j *job) queueRead(ctx context.Context, p redis.Pipeliner, master *redis.BoolCmd) *redis.BoolCmd {
	if j.master = master; master == nil {
		j.master = p.Persist(ctx, j.keys[1]) // changes nothing, and a replica refuses it
	}
	if j.takeover != nil {
		j.takeover.queue(ctx, p)
		return j.master
	}
	j.value = p.GetRange(ctx, j.keys[0], 0, int64(j.read)-1)
	if j.wantsFence {
		j.line = p.GetRange(ctx, j.keys[1], 0, fenceLimit)
	}
	return j.master
}

// requeue sends the script itself after the server said that it does not know it.
func (j *job) requeue(ctx context.Context, p redis.Pipeliner) {
	j.cmd = p.Eval(ctx, j.script.source, j.named(), j.args...)
}

func (j *job) noScript() bool { return noScript(j.cmd) }

func noScript(c *redis.Cmd) bool {
	return c != nil && c.Err() != nil && hasCode(c.Err(), "NOSCRIPT")
}

// found is how large the largest value is that was read.
func (j *job) found() int {
	switch {
	case j.isScript():
		return 0
	case j.takeover != nil:
		return j.takeover.largest()
	}
	return len(j.value.Val())
}

// err returns why the job has no result. A pipeline that found no server may
// leave its commands without an error and without a reply: go-redis takes a
// sentinel's error, which wraps redis.Nil, for a reply.
func (j *job) err() error {
	if j.broken != nil {
		return j.broken
	}
	if !j.isScript() {
		return j.readErr()
	}
	switch {
	case j.cmd.Err() != nil:
		return j.cmd.Err()
	case j.lacksStage():
		return cmp.Or(j.staged.Err(), errNoStage)
	case j.reply == nil:
		return cmp.Or(j.failed, errNoReply)
	}
	if list, ok := j.reply.([]any); ok && len(list) == 2 && list[0] == "ERR" {
		text, _ := list[1].(string)
		return serverError(text)
	}
	return nil
}

func (j *job) readErr() error {
	if j.takeover != nil {
		var master error
		if j.master != nil {
			master = j.master.Err()
		}
		return j.takeover.err(j.failed, master)
	}
	// An error of the read itself does not say that there was no server.
	if j.failed != nil && j.master.Err() == nil && j.value.Err() == nil && (j.line == nil || j.line.Err() == nil) && !isServer(j.failed) {
		return j.failed
	}
	if err := j.master.Err(); err != nil && hasCode(err, "READONLY") {
		return err
	}
	if j.line != nil && j.line.Err() != nil {
		return cmp.Or(j.value.Err(), j.line.Err())
	}
	return j.value.Err()
}

// isServer reports that a server answered with err.
func isServer(err error) bool {
	var server redis.Error
	return errors.As(err, &server) && !isSentinel(err)
}

// A serverError is what the server said to one component of a batch.
type serverError string

func (e serverError) Error() string { return string(e) }

// RedisError makes it a refusal by the server.
func (serverError) RedisError() {}

// lacksStage reports that the script did not find the value that was staged
// for it, as when a failover came between the two.
func (j *job) lacksStage() bool {
	if j.staged == nil {
		return false
	}
	a, err := parseAnswer(j.reply)
	return err == nil && a.code() == "NOSTAGE"
}

var errNoStage = errors.New("the staged value vanished before it could be saved: if the server is evicting keys, set maxmemory-policy noeviction")

var errNoReply = errors.New("the server gave no reply, which no Redis does (is a proxy in between?)")

// answer returns what the script said.
func (j *job) answer() (answer, error) {
	return parseAnswer(j.reply)
}

// fail gives j a result without sending it.
func (j *job) fail(ctx context.Context, err error) {
	if j.isScript() {
		j.cmd = redis.NewCmd(ctx)
		j.cmd.SetErr(err)
		return
	}
	j.failed = err
}
