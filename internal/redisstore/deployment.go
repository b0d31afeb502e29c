package redisstore

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// errScattered is a call whose keys lie in several slots. It was not executed; the
// next try stays in one.
var errScattered = errors.New("CROSSSLOT the server wants the keys of one call in one slot")

// isSingle reports that one server answers for all keys together. A cluster does not;
// neither does one behind a single address, and it says so only when it is asked for
// keys of several slots.
func (s *Store) isSingle() bool {
	_, one := s.client.(*redis.Client)
	return one && !s.slots.Load()
}

// isScattered recognises the answer to keys of several slots in one call. Managed
// services spell it in ways of their own.
func isScattered(text string) bool {
	return strings.Contains(text, "CROSSSLOT") || strings.Contains(text, "same slot")
}

// learnSlots reports that the server refused keys of several slots in one call, which
// it is not asked for any more.
func (s *Store) learnSlots(c redis.Cmder) bool {
	if c == nil || c.Err() == nil || !isScattered(c.Err().Error()) {
		return false
	}
	s.slots.Store(true)
	return true
}

// wasDemoted reports that err comes from a node of a cluster behind a single address
// that is a replica for now, and refers to its primary. A primary that does so would for
// ever.
func (s *Store) wasDemoted(ctx context.Context, err error) bool {
	c, one := s.client.(*redis.Client)
	if !one || !hasCode(err, "MOVED") {
		return false
	}
	replica, _ := await(ctx, s, func() (bool, error) { return isReplica(c.Do(ctx, "ROLE")), nil })
	return replica
}

// inspectClient learns what matters of a client that the caller keeps, and refuses
// one with which the promises would not hold.
func (s *Store) inspectClient() error {
	switch c := s.client.(type) {
	case *redis.Ring:
		return errors.New("a ring moves keys to other servers without their values: use redis.Client or redis.ClusterClient")
	case *redis.Client:
		o := c.Options()
		s.know(o.TLSConfig != nil, o.Password, o.ContextTimeoutEnabled)
		if o.ClientSideCacheConfig != nil || o.ClientSideCache != nil {
			return errors.New("a client with a cache may show state that was replaced: give durable a client without ClientSideCache")
		}
	case *redis.ClusterClient:
		o := c.Options()
		s.know(o.TLSConfig != nil, o.Password, o.ContextTimeoutEnabled)
		if o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return errors.New("a client that reads from replicas may show state that was replaced, or none: " +
				"give durable one without ReadOnly, RouteByLatency and RouteRandomly")
		}
	}
	return nil
}

// await calls ask and returns its answer, or the error of ctx when that ends first
// with a client that does not watch its deadline. Then what ask does goes on alone,
// until the client gives it up.
func await[T any](ctx context.Context, s *Store, ask func() (T, error)) (T, error) {
	called := func() (value T, err error) {
		err = s.contain(func() (err error) { value, err = ask(); return err })
		return value, err
	}
	if s.prompt {
		return called()
	}
	type answer struct {
		value T
		err   error
	}
	got := make(chan answer, 1)
	go func() {
		value, err := called()
		got <- answer{value, err}
	}()
	select {
	case a := <-got:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
