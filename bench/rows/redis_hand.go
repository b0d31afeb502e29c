package rows

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/redisd"
	"github.com/durablestate/durable/bench/state"
)

const ttl = time.Hour

// redisBench is one server with a client for what is written by hand, and this
// library on the same server.
type redisBench struct {
	ctx     context.Context
	addr    string
	client  *redis.Client
	adapter *durable.RedisAdapter
}

func (b *Bench) redis(name string, args []string) (*redisBench, error) {
	addr, err := b.server(name, args)
	if err != nil {
		return nil, err
	}
	r := &redisBench{ctx: b.ctx, addr: addr, client: redis.NewClient(&redis.Options{Addr: addr})}
	r.adapter, err = durable.OpenRedisAdapter(b.ctx, "redis://"+addr, &durable.RedisOptions{TTL: ttl})
	return r, err
}

func (b *Bench) plainRedis() (*redisBench, error) { return b.redis("plain", redisd.NoPersistence) }

func (r *redisBench) close() {
	_ = r.adapter.Close()
	_ = r.client.Close()
}

// empty removes all keys, so that the groups do not weigh on each other.
func (r *redisBench) empty() error { return r.client.FlushAll(r.ctx).Err() }

// byHand is the program that the library replaces: maps, json.Marshal and SETEX,
// one component after the other.
type byHand struct {
	*redisBench
	prefix string
	maps   []state.Map
	typed  []state.State
	wrote  [][]byte // by compareAndSet
	next   int
}

func (h *byHand) key(i int) string { return h.prefix + componentID(i) }

// change changes every step-th map, like fleet.change.
func (h *byHand) change(from, step int) error {
	for i := from % step; i < len(h.maps); i += step {
		state.TouchMap(h.maps[i])
	}
	return nil
}

// loop saves all maps.
func (h *byHand) loop() error {
	for i, m := range h.maps {
		data, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if err := h.client.Set(h.ctx, h.key(i), data, ttl).Err(); err != nil {
			return err
		}
	}
	return nil
}

// pipelined is loop in pipelines of n.
func (h *byHand) pipelined(n int) func() error {
	return func() error {
		for from := 0; from < len(h.maps); from += n {
			p := h.client.Pipeline()
			for i := from; i < min(from+n, len(h.maps)); i++ {
				data, err := json.Marshal(h.maps[i])
				if err != nil {
					return err
				}
				p.Set(h.ctx, h.key(i), data, ttl)
			}
			if _, err := p.Exec(h.ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// each changes and saves n states, one after the other.
func (h *byHand) each(n int, save func(i int) error) func() error {
	return func() error {
		for range n {
			h.next++
			if err := save(h.next); err != nil {
				return err
			}
		}
		return nil
	}
}

func (h *byHand) setMap(i int) error {
	i %= len(h.maps)
	state.TouchMap(h.maps[i])
	data, err := json.Marshal(h.maps[i])
	if err != nil {
		return err
	}
	return h.client.Set(h.ctx, h.key(i), data, ttl).Err()
}

func (h *byHand) setStruct(i int) error {
	i %= len(h.typed)
	h.typed[i].Touch()
	data, err := json.Marshal(&h.typed[i])
	if err != nil {
		return err
	}
	return h.client.Set(h.ctx, h.key(i), data, ttl).Err()
}

var errStale = errors.New("somebody else has written")

// compareAndSet is what programs write by hand to notice another writer: the
// stored copy must be the one that this program wrote last.
func (h *byHand) compareAndSet(i int) error {
	i %= len(h.maps)
	key := h.key(i) + ":cas"
	state.TouchMap(h.maps[i])
	data, err := json.Marshal(h.maps[i])
	if err != nil {
		return err
	}
	err = h.client.Watch(h.ctx, func(tx *redis.Tx) error {
		stored, err := tx.Get(h.ctx, key).Bytes()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		if !bytes.Equal(stored, h.wrote[i]) {
			return errStale
		}
		_, err = tx.TxPipelined(h.ctx, func(p redis.Pipeliner) error {
			p.Set(h.ctx, key, data, ttl)
			return nil
		})
		return err
	}, key)
	h.wrote[i] = data
	return err
}

// restore reads n states and decodes them.
func (h *byHand) restore(n int) func() error {
	return func() error {
		for i := range n {
			data, err := h.client.Get(h.ctx, h.key(i)).Bytes()
			if err != nil {
				return err
			}
			m := state.Map{}
			if err := json.Unmarshal(data, &m); err != nil {
				return err
			}
		}
		return nil
	}
}

func newByHand(r *redisBench, n, size int) *byHand {
	h := &byHand{redisBench: r, prefix: fmt.Sprintf("hand:%d:", size), wrote: make([][]byte, n)}
	for i := range n {
		h.maps = append(h.maps, state.NewMap(size, i))
	}
	return h
}
