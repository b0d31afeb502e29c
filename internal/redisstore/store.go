// Package redisstore keeps snapshots in Redis.
//
// A component has its state at <prefix><id>, an envelope, and beside it keys that
// carry the whole state key as their hash tag: the fence {...}:f, one line without
// TTL; older generations {...}:g:<version>; staged values {...}:t:<write id>;
// bytes set aside because they did not verify {...}:x:<n>; and the lease
// {...}:lease. Every change is one Lua script, so it is atomic, and every script
// recognises its own copy, so that it may be sent again after a lost reply.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/internal/foreign"
	"github.com/durablestate/durable/internal/redact"
	"github.com/durablestate/durable/internal/store"
)

const (
	defaultKeep     = 3
	defaultMaxBytes = 32 << 20

	stageTTL    = 10 * time.Minute
	tries       = 6 // of one operation
	firstPause  = 20 * time.Millisecond
	longPause   = 500 * time.Millisecond
	tryTime     = time.Second     // of a first try, without its bytes: who asks a server that hangs learns of its successor only then
	saveTime    = 5 * time.Second // of one operation whose context has no deadline
	loadTime    = 10 * time.Second
	listTime    = time.Minute
	bytesPerSec = 10 << 20 // the slowest link we wait for
)

// Options are the settings of a store, which internal/limits allows. Zero fields mean
// the defaults named here.
type Options struct {
	Prefix     string        // DefaultPrefix
	TTL        time.Duration // no expiry
	Keep       int           // generations; 3
	Durability string        // "memory", "replicated:N" or "fsync"; memory
	MaxBytes   int64         // of a state; 32 MiB
}

// Store implements store.Store on a Redis client.
type Store struct {
	client  redis.UniversalClient
	owned   bool
	tls     bool
	prompt  bool        // the client watches the deadlines of contexts
	slots   atomic.Bool // one server, or an address in front of many, wants the keys of a call in one slot
	secrets redact.Secrets
	where   string // of the servers, where the client does not tell

	prefix   string
	ttl      time.Duration
	keep     int
	maxBytes int64
	level    level

	acked         acked
	writes, reads *lanes
	typical       atomic.Int64 // size of a state as read lately, for batching
	topology      *topology
	calls         foreign.Helpers // in which a borrowed client is called
	ctx           context.Context // ends with Close
	cancel        context.CancelFunc
}

// New returns a store on a client that the caller keeps.
func New(client redis.UniversalClient, o Options) (*Store, error) {
	if client == nil {
		return nil, errors.New("a redis client is required, not nil")
	}
	s := configure(o)
	s.client = client
	if err := s.inspectClient(); err != nil {
		s.cancel()
		return nil, err
	}
	s.use(client)
	return s, nil
}

func (s *Store) use(client redis.UniversalClient) {
	s.client = client
	s.writes, s.reads = newLanes(s), newLanes(s)
	if c, ok := client.(*redis.ClusterClient); ok {
		s.topology = newTopology(s.ctx, c)
	}
}

// configure returns a store that lacks only its client.
func configure(o Options) *Store {
	s := &Store{prefix: o.Prefix, ttl: o.TTL, keep: o.Keep, maxBytes: o.MaxBytes}
	orDefault(&s.prefix, DefaultPrefix)
	orDefault(&s.keep, defaultKeep)
	orDefault(&s.maxBytes, defaultMaxBytes)
	s.level.set(o.Durability)
	s.typical.Store(16 << 10)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// MaxBytes returns the limit of a state.
func (s *Store) MaxBytes() int64 { return s.maxBytes }

// TTL returns after how long a state expires that is not refreshed; 0: never.
func (s *Store) TTL() time.Duration { return s.ttl }

// lifetime returns the TTL of the state of id.
func (s *Store) lifetime(id string) time.Duration {
	if store.Lasting(id) {
		return 0
	}
	return s.ttl
}

// closeTime is how long Close awaits a client that does not watch deadlines.
const closeTime = 2 * time.Second

// Close implements store.Store. A client that the caller keeps stays open.
func (s *Store) Close() error {
	s.cancel()
	var err error
	if s.owned {
		err = s.word(s.client.Close()) // wakes what is in flight
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_, _ = await(ctx, s, func() (_ struct{}, _ error) {
		s.writes.close()
		s.reads.close()
		s.topology.close()
		return
	})
	s.calls.End()
	return err
}

// bound gives ctx the deadline that every operation needs.
func bound(ctx context.Context, limit time.Duration, size int) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	if ctx.Done() != nil {
		ctx = context.WithValue(ctx, mayCancel{}, true)
	}
	return context.WithTimeout(ctx, limit+transfer(size))
}

// patience is how long try n may take, without its bytes: a server that is slow,
// not gone, must answer one of them.
func patience(n int) time.Duration {
	return tryTime * time.Duration(max(1, n-1))
}

// transfer is how long size bytes may take on a slow link.
func transfer(size int) time.Duration {
	return time.Duration(size) * time.Second / bytesPerSec
}

// A doubt remembers whether an earlier try of this call may have been executed.
type doubt struct{ unknown bool }

// try sends the jobs that next makes through l until one has a result, the error
// would not go away, or ctx ends. Every job is a copy of the same operation, so
// that an earlier copy that arrives late changes nothing.
func (s *Store) try(ctx context.Context, l *lanes, d *doubt, next func() *job) (*job, error) {
	var last error
	cuts := 0
	for n := range tries {
		if n > 0 && !s.pause(ctx, n) {
			break
		}
		j := next()
		j.patience = patience(n)
		if err := l.of(ctx, j.key()).do(ctx, s.ctx.Done(), j); err != nil {
			d.unknown = true
			if errors.Is(err, store.ErrClosed) {
				return nil, err
			}
			break
		}
		err := j.err()
		if err == nil {
			return j, nil
		}
		if large := s.tooLarge(ctx, j, err, &cuts); large != nil {
			return nil, large
		}
		if s.wasDemoted(ctx, err) {
			err = errReplica
		}
		class := classify(err)
		last, d.unknown = err, d.unknown || class == unknown
		if _, permanent := s.permanent(err); permanent || class == refused {
			break
		}
		s.topology.reload(ctx, time.Now())
	}
	if s.ctx.Err() != nil {
		return nil, store.ErrClosed
	}
	if ctx.Err() != nil {
		last = ended(ctx, last)
	}
	return nil, s.word(last)
}

// ask runs a script until it answers. Wrong types are errors of every script.
func (s *Store) ask(ctx context.Context, d *doubt, next func() *job) (answer, error) {
	j, err := s.try(ctx, s.writes, d, next)
	if err != nil {
		return nil, err
	}
	a, err := j.answer()
	if err != nil {
		d.unknown = d.unknown || classify(err) == unknown
		return nil, s.word(err)
	}
	switch a.code() {
	case "WRONGTYPE":
		return nil, errLasting("the key %q holds another type of value, which is left alone: choose another key prefix or remove it", a.at(1))
	case "DAMAGED":
		return nil, errLasting("the record %q is damaged: inspect it before anything is saved", a.at(1))
	case "FORMAT":
		return nil, fmt.Errorf("%w: fence format %q, this program reads up to 2", store.ErrTooNew, a.at(1))
	}
	if j.short != nil && a.code() == "OK" { // a refusal is no save below its level
		return a, s.word(j.short)
	}
	return a, nil
}

// pause waits before the next try, with jitter, and reports whether there is
// time for one.
func (s *Store) pause(ctx context.Context, n int) bool {
	wait := min(firstPause<<(n-1), longPause)
	t := time.NewTimer(wait/2 + mathrand.N(wait))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}

// Borrows reports that the client is the caller's, with whatever hooks that has.
func (s *Store) Borrows() bool { return !s.owned }

// run sends a batch. A hook of a borrowed client that does not return leaves each job
// in doubt.
func (s *Store) run(batch []*job) {
	if s.owned {
		s.send(batch)
		return
	}
	err := s.calls.Call(theClient, func() error { s.send(batch); return nil })
	if err != nil {
		for _, j := range batch {
			j.broken = err
		}
	}
}

const theClient = "the Redis client"

// contain calls what asks the client, of which a hook may not return if it is borrowed.
func (s *Store) contain(fn func() error) error {
	if s.owned {
		return fn()
	}
	return s.calls.Call(theClient, fn)
}

// send sends a batch and gives it the time its bytes need.
func (s *Store) send(batch []*job) {
	size, largest, wait := 0, 0, tryTime
	for _, j := range batch {
		size, wait = size+j.size, max(wait, j.patience)
		if j.patience > tryTime { // perhaps the first tries were too short for an unusually large state
			largest = max(largest, j.read)
		}
	}
	ctx, cancel := s.within(wait+transfer(max(size, largest)), batch)
	defer cancel()
	if s.level.kind != memory && slices.ContainsFunc(batch, func(j *job) bool { return j.durable }) {
		s.runConfirmed(ctx, batch)
		return
	}
	s.exec(ctx, batch, s.client.Pipeline)
	s.learn(batch)
}

// within returns a context for jobs that ends after limit, or before that with
// the patience of a caller who sends his own job.
func (s *Store) within(limit time.Duration, jobs []*job) (context.Context, context.CancelFunc) {
	end := time.Now().Add(limit)
	if u := jobs[0].until; !u.IsZero() && u.Before(end) {
		end = u
	}
	return context.WithDeadline(s.ctx, end)
}

// learn remembers how large the states are that are being read.
func (s *Store) learn(batch []*job) {
	most := 0
	for _, j := range batch {
		most = max(most, j.found())
	}
	if most > 0 {
		s.typical.Store(int64(most) + 512)
	}
}

// name returns a fresh name for one call.
func name() string { return string(appendName(nil)) }

// appendName appends callLen hexadecimal digits.
func appendName(dst []byte) []byte {
	for r, i := mathrand.Uint64(), 0; i < callLen; r, i = r>>4, i+1 {
		dst = append(dst, hexDigits[r&15])
	}
	return dst
}
