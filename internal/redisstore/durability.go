package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/internal/limits"
	"github.com/durablestate/durable/internal/store"
)

type levelKind int

const (
	memory levelKind = iota
	replicated
	fsync
)

// confirmTime is how long a save waits at most for replicas or the disk.
const confirmTime = 2 * time.Second

// briefTime is how long what takes ownership waits where the level fell short a
// moment ago: a start goes on below the level, and must not take 2 s a batch. It is
// enough for a replica that is there.
const briefTime = 10 * time.Millisecond

// A level is what a save must have reached before it is acknowledged.
type level struct {
	kind     levelKind
	replicas int
	short    atomic.Bool // the last confirmation fell short
	always   atomic.Bool // the server syncs before it answers
	waitaof  atomic.Bool // the server can be asked
}

func (l *level) set(durability string) {
	switch n, disk := limits.Durability(durability); {
	case disk:
		l.kind = fsync
	case n > 0:
		l.kind, l.replicas = replicated, n
	}
}

// runConfirmed sends jobs on a connection of their own and asks that very
// connection whether what it wrote is as durable as configured: another one
// would answer for its own writes.
func (s *Store) runConfirmed(ctx context.Context, batch []*job) {
	nodes, groups := []*redis.Client{}, map[*redis.Client][]*job{}
	for _, j := range batch {
		c, err := s.node(ctx, j.key())
		if err != nil {
			j.fail(ctx, err)
			continue
		}
		if groups[c] == nil {
			nodes = append(nodes, c)
		}
		groups[c] = append(groups[c], j)
	}
	for _, c := range nodes {
		s.runOn(ctx, c, groups[c])
	}
}

func (s *Store) runOn(ctx context.Context, c *redis.Client, jobs []*job) {
	conn := c.Conn()
	defer conn.Close()
	if err := s.probe(ctx, conn); err != nil {
		for _, j := range jobs {
			j.fail(ctx, err)
		}
		return
	}
	s.exec(ctx, jobs, conn.Pipeline)
	if !slices.ContainsFunc(jobs, func(j *job) bool { return j.durable && j.err() == nil }) {
		return
	}
	ctx, cancel := s.within(2*confirmTime, jobs)
	defer cancel()
	brief := s.level.short.Load() && !slices.ContainsFunc(jobs, func(j *job) bool { return j.durable && !j.owns })
	err := s.confirm(ctx, conn, brief)
	s.level.short.Store(err != nil)
	if err != nil {
		for _, j := range jobs {
			if j.durable {
				j.short = err
			}
		}
	}
}

// node returns the client of the primary that has key.
func (s *Store) node(ctx context.Context, key string) (*redis.Client, error) {
	switch c := s.client.(type) {
	case *redis.Client:
		return c, nil
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, key)
	}
	return nil, errLevel("this type of client has no connection that could be asked: use redis.Client or redis.ClusterClient")
}

// A levelError says that a server cannot give the configured level.
type levelError string

func errLevel(text string) error { return levelError("durability not available: " + text) }

func (e levelError) Error() string { return string(e) }

// RedisError makes it an error that another try would not change.
func (levelError) RedisError() {}

// probe finds out once how the level fsync can be had, and refuses it where it
// cannot. Each save is confirmed by its own server all the same.
func (s *Store) probe(ctx context.Context, conn *redis.Conn) error {
	if s.level.kind != fsync || s.level.always.Load() || s.level.waitaof.Load() {
		return nil
	}
	err := conn.Do(ctx, "WAITAOF", 1, 0, 1).Err()
	switch {
	case err == nil:
		s.level.waitaof.Store(true)
		return nil
	case strings.Contains(err.Error(), "appendonly is disabled"):
		return errLevel("fsync needs appendonly yes on the server")
	case !strings.Contains(err.Error(), "unknown command"):
		return err
	}
	if err = syncsAlways(ctx, conn); err != nil {
		return err
	}
	s.level.always.Store(true)
	return nil
}

// syncsAlways returns nil if the server of conn has its writes on disk before it
// answers them.
func syncsAlways(ctx context.Context, conn *redis.Conn) error {
	conf, err := conn.ConfigGet(ctx, "append*").Result()
	switch {
	case err != nil && classify(err) != refused:
		return err
	case err != nil:
		return errLevel("fsync needs WAITAOF (Redis 7.2) or CONFIG GET to see that appendfsync is always; this server gives neither")
	case conf["appendonly"] != "yes" || conf["appendfsync"] != "always":
		return errLevel(fmt.Sprintf("fsync needs appendonly yes and appendfsync always on a server before 7.2, here they are %s and %s",
			conf["appendonly"], conf["appendfsync"]))
	}
	return nil
}

// openTime is how long Open looks for a server.
const openTime = 2 * time.Second

// Check asks the servers, if they can be reached at once, whether they know the
// commands that the configured durability needs, and returns an error if not. A
// server that cannot be reached is judged by the first save.
func (s *Store) Check(ctx context.Context) error {
	if s.level.kind == memory {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	one := func(ctx context.Context, c *redis.Client) error {
		conn := c.Conn()
		defer conn.Close()
		return s.able(ctx, conn)
	}
	var err error
	switch c := s.client.(type) {
	case *redis.Client:
		err = one(ctx, c)
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, one)
	}
	var lacks levelError
	if errors.As(err, &lacks) {
		return lacks
	}
	return nil
}

// able returns a levelError if the server of conn does not know the level.
func (s *Store) able(ctx context.Context, conn *redis.Conn) error {
	if s.level.kind == fsync {
		return s.probe(ctx, conn)
	}
	err := conn.Do(ctx, "WAIT", 0, 1).Err()
	if err != nil && (hasCode(err, "NOPERM") || strings.Contains(err.Error(), "unknown command")) {
		return errLevel("replicated needs the command WAIT, which the server does not know or the user may not use")
	}
	return nil
}

// confirm waits until the writes of conn have reached the level.
func (s *Store) confirm(ctx context.Context, conn *redis.Conn, brief bool) error {
	wait := confirmTime
	if brief {
		wait = briefTime
	}
	if end, ok := ctx.Deadline(); ok {
		wait = max(min(wait, time.Until(end)/2), time.Millisecond)
	}
	switch {
	case s.level.kind == replicated:
		n, err := conn.Do(ctx, "WAIT", s.level.replicas, wait.Milliseconds()).Int()
		return confirmed(n, s.level.replicas, "replicas", err)
	case s.level.waitaof.Load():
		n, err := conn.Do(ctx, "WAITAOF", 1, 0, wait.Milliseconds()).Int64Slice()
		if err == nil && len(n) != 2 {
			err = errors.New("the server gave an unexpected answer to WAITAOF (is a proxy in between?)")
		}
		if err != nil {
			return confirmed(0, 1, "", err)
		}
		return confirmed(int(n[0]), 1, "disks", nil)
	case s.level.always.Load(): // of the server that was asked first: this may be another one
		if err := syncsAlways(ctx, conn); err != nil {
			return fmt.Errorf("%w: %w", store.ErrNotDurable, err)
		}
	}
	return nil
}

func confirmed(got, want int, what string, err error) error {
	if err != nil {
		return fmt.Errorf("%w: no confirmation: %w", store.ErrNotDurable, err)
	}
	if got < want {
		return fmt.Errorf("%w: %d of %d %s confirmed in time", store.ErrNotDurable, got, want, what)
	}
	return nil
}
