package redisstore

import (
	"context"
	_ "embed" // the script

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/internal/store"
)

// smallState is up to which size, as read lately, states are read whole and many
// at a time.
const smallState = 16 << 10

//go:embed lua/claims.lua
var claimsLua string

var claimsScript = newScript(claimsLua)

// A takeover claims components and reads them, in one call and one read of many
// keys.
type takeover struct {
	keys   []keys
	epoch  string
	claims *redis.Cmd
	read   *redis.SliceCmd
}

// TakeOver claims ids for epoch and returns their newest states: nil for every one
// that is not to be had in the usual way, because it was never saved, does not
// verify, is fenced or cannot be reached. Claim and Load tell which, and may find
// that it was claimed already. It tries once, and only where one server has all.
func (s *Store) TakeOver(ctx context.Context, ids []string, epoch uint64) []*store.Snapshot {
	snaps := make([]*store.Snapshot, len(ids))
	if _, single := s.client.(*redis.Client); !single || len(ids) == 0 || s.typical.Load() > smallState {
		return snaps
	}
	ctx, cancel := bound(ctx, loadTime, 0)
	defer cancel()
	t := &takeover{keys: make([]keys, len(ids)), epoch: digits(epoch)}
	for i, id := range ids {
		t.keys[i] = s.keys(id)
	}
	marks := s.acked.marks(ids)
	if !s.takeOver(ctx, t, false) {
		return snaps
	}
	for i, id := range ids {
		if snaps[i] = s.taken(t, id, i); snaps[i] != nil {
			s.acked.saw(id, marks[i], snaps[i].LastVersion, snaps[i].LastVersion)
		}
	}
	return snaps
}

// takeOver sends t, with the source of the script if the server does not know it,
// and reports that there is an answer.
func (s *Store) takeOver(ctx context.Context, t *takeover, source bool) bool {
	j := &job{takeover: t, source: source, keys: [3]string{t.keys[0].state, t.keys[0].fence}, durable: true, patience: patience(0)}
	j.size = len(t.keys) * int(s.typical.Load())
	if !s.reads.of(ctx, s.client, j.key()).direct(ctx, j) {
		return false
	}
	if !source && noScript(t.claims) {
		return s.takeOver(ctx, t, true)
	}
	return j.err() == nil && j.short == nil
}

// queue asks for the claims and then for the states and fences: they are read
// after no save of an earlier owner can come in between.
func (t *takeover) queue(ctx context.Context, p redis.Pipeliner, source bool) {
	name, script := "evalsha", claimsScript.sha
	if source {
		name, script = "eval", claimsScript.source
	}
	claims := append(make([]any, 0, 4+len(t.keys)), name, script, len(t.keys))
	read := append(make([]any, 0, 1+2*len(t.keys)), "mget")
	for i := range t.keys { // pointers, since strings would be copied to the heap
		claims, read = append(claims, &t.keys[i].fence), append(read, &t.keys[i].state, &t.keys[i].fence)
	}
	t.claims, t.read = redis.NewCmd(ctx, append(claims, t.epoch)...), redis.NewSliceCmd(ctx, read...)
	_, _ = p.Process(ctx, t.claims), p.Process(ctx, t.read)
}

// taken returns the state of the component at place i, nil when it was not claimed
// or is not the one that its fence names.
func (s *Store) taken(t *takeover, id string, i int) *store.Snapshot {
	claimed, _ := t.claims.Val().(string)
	values := t.read.Val()
	if len(claimed) != len(t.keys) || claimed[i] != 'y' || len(values) != 2*len(t.keys) {
		return nil
	}
	state, there := values[2*i].(string)
	line, known := values[2*i+1].(string) // neither is there when it is of another type
	if !there || !known {
		return nil
	}
	rec, err := parseRecord(line)
	if err != nil || !rec.saved() {
		return nil
	}
	snap, err := s.current(id, &view{rec: rec, value: []byte(state)})
	if err != nil {
		return nil
	}
	snap.LastVersion = rec.fence.Version
	return snap
}

// largest is the size of the largest value that was read.
func (t *takeover) largest() (most int) {
	for _, v := range t.read.Val() {
		value, _ := v.(string)
		most = max(most, len(value))
	}
	return most
}
