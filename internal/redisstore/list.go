package redisstore

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/internal/envelope"
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
			listed, err := s.listed(ctx, ids[:n])
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
	var mu sync.Mutex
	var ids []string
	seen := map[string]bool{}
	add := func(keys []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, k := range keys {
			if id, ok := s.idOf(k); ok && envelope.ValidID(id) && !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	node := func(ctx context.Context, c redis.Cmdable) error {
		for cursor := uint64(0); ; {
			keys, next, err := c.Scan(ctx, cursor, "*"+s.prefix+"*", page).Result()
			if err != nil {
				return err
			}
			add(keys)
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	var err error
	if c, ok := s.client.(*redis.ClusterClient); ok {
		err = c.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return node(ctx, c) })
	} else {
		err = node(ctx, s.client)
	}
	return ids, err
}

// listed returns those of ids that were saved and not deleted.
func (s *Store) listed(ctx context.Context, ids []string) ([]string, error) {
	p := s.client.Pipeline()
	recs, heads := make([]*redis.SliceCmd, len(ids)), make([]*redis.StringCmd, len(ids))
	for i, id := range ids {
		k := s.keys(id)
		recs[i] = p.HMGet(ctx, k.fence(), "state", "version")
		heads[i] = p.GetRange(ctx, k.state, 0, int64(envelope.PrefixLen)-1)
	}
	_, failed := p.Exec(ctx) // each command carries its own error as well, if there is a server
	var out []string
	for i, id := range ids {
		if err := recs[i].Err(); err != nil && !hasCode(err, "WRONGTYPE") {
			return nil, err
		}
		if recs[i].Err() == nil && len(recs[i].Val()) != 2 {
			return nil, cmp.Or(failed, errNoReply)
		}
		if err := heads[i].Err(); err != nil && !hasCode(err, "WRONGTYPE") {
			return nil, err
		}
		if isListed(recs[i].Val(), heads[i].Val()) {
			out = append(out, id)
		}
	}
	return out, nil
}

// isListed judges by the record, and by the look of the state where the record
// knows of no save.
func isListed(rec []any, head string) bool {
	if len(rec) == 2 && rec[0] == "saved" {
		return true
	}
	if len(rec) == 2 && rec[1] != nil && rec[1] != digits(0) {
		return false
	}
	b := bytes.TrimLeft([]byte(head), " \t\r\n")
	return envelope.HasMagic([]byte(head)) || len(b) > 0 && b[0] == '{'
}
