package redisstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// page is how many keys a server is asked to look at in one step of a scan.
const page = 1000

// List implements store.Store. It scans every primary, since a cluster client's
// own scan sees one node only. A component that is saved while the list is made
// may be missing.
func (s *Store) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		ctx, cancel := bound(ctx, listTime, 0)
		defer cancel()
		ids, err := s.scan(ctx)
		if err != nil {
			yield("", s.word(err))
			return
		}
		for len(ids) > 0 {
			n := min(len(ids), page)
			listed, err := await(ctx, s, func() ([]string, error) { return s.listed(ctx, ids[:n]) })
			if err != nil {
				yield("", s.word(err))
				return
			}
			for _, id := range listed {
				if !yield(id, nil) {
					return
				}
			}
			ids = ids[n:]
		}
	}
}

// scan returns every id that has a state key or a fence, each once.
func (s *Store) scan(ctx context.Context) ([]string, error) {
	var ids []string
	seen := map[string]bool{}
	err := s.scanKeys(ctx, func(k string) {
		if id, ok := s.idOf(k); ok && envelope.ValidID(id) && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// scanKeys calls found for every key with the prefix, or a side key of one, one after
// the other and perhaps more than once. After an error it may still be called.
func (s *Store) scanKeys(ctx context.Context, found func(key string)) error {
	var mu sync.Mutex
	node := func(ctx context.Context, c redis.Cmdable) error {
		for cursor := uint64(0); ; {
			keys, next, err := c.Scan(ctx, cursor, "*"+s.prefix+"*", page).Result()
			if err != nil {
				return err
			}
			mu.Lock()
			for _, k := range keys {
				found(k)
			}
			mu.Unlock()
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	_, err := await(ctx, s, func() (struct{}, error) {
		if c, ok := s.client.(*redis.ClusterClient); ok {
			return struct{}{}, c.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
				return s.contain(func() error { return node(ctx, c) })
			})
		}
		return struct{}{}, node(ctx, s.client)
	})
	return err
}

// listed returns those of ids that were saved and not deleted, and deleted ones
// where they are asked for.
func (s *Store) listed(ctx context.Context, ids []string) ([]string, error) {
	p := s.client.Pipeline()
	recs, heads := make([]*redis.StringCmd, len(ids)), make([]*redis.StringCmd, len(ids))
	for i, id := range ids {
		k := s.keys(id)
		recs[i] = p.GetRange(ctx, k.fence, 0, fenceHead)
		heads[i] = p.GetRange(ctx, k.state, 0, int64(envelope.PrefixLen)-1)
	}
	if _, err := p.Exec(ctx); err != nil && !hasCode(err, "WRONGTYPE") { // which its command carries as well
		return nil, err
	}
	var out []string
	for i, id := range ids {
		line, err := recs[i].Val(), recs[i].Err()
		if err != nil && hasCode(err, "WRONGTYPE") { // perhaps a fence of format 1
			line, err = s.formerFence(ctx, s.keys(id).fence)
		}
		if err != nil {
			return nil, err
		}
		if err := heads[i].Err(); err != nil && !hasCode(err, "WRONGTYPE") {
			return nil, err
		}
		if isListed(line, heads[i].Val(), store.ListsDeleted(ctx)) {
			out = append(out, id)
		}
	}
	return out, nil
}

// formerFence reads what a list needs of a fence of format 1, a hash. Another
// type of value is none.
func (s *Store) formerFence(ctx context.Context, key string) (string, error) {
	f, err := s.client.HMGet(ctx, key, "epoch", "version", "state").Result()
	if err != nil && hasCode(err, "WRONGTYPE") {
		return "", nil
	}
	if err != nil || len(f) != 3 {
		return "", cmp.Or(err, errNoReply)
	}
	for letter, state := range states {
		if f[2] == state {
			return fmt.Sprint(fenceMagic, fenceFormat, f[0], " ", f[1], " ", string(letter), " "), nil
		}
	}
	return "", nil
}

// isListed judges by the fence, and by the look of the state where the fence
// knows of no save. A fence that knows of one, and of no state, is that of a
// deleted component.
func isListed(line, head string, deleted bool) bool {
	if f := strings.Split(line, " "); len(f) > 4 && f[0]+" " == fenceMagic {
		if f[4] == "s" {
			return true
		}
		if f[3] != digits(0) {
			return deleted
		}
	}
	b := bytes.TrimLeft([]byte(head), " \t\r\n")
	return envelope.HasMagic([]byte(head)) || len(b) > 0 && b[0] == '{'
}
