package redisstore

import (
	"cmp"
	"context"
	_ "embed" // the script

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/internal/store"
)

// smallState is up to which size states are read whole and many at a time.
const smallState = 16 << 10

//go:embed lua/claims.lua
var claimsLua string

var claimsScript = newScript(claimsLua)

// A takeover claims components in one call and then reads those that it has in
// another.
type takeover struct {
	step   step
	keys   []keys
	epoch  string
	claims *redis.Cmd
	places []int // of the components that are read
	read   *redis.SliceCmd
}

type step int

const (
	claimKnown  step = iota // with a script that the server may know
	claimSource             // with the script itself
	readClaimed
)

// TakeOver claims ids for epoch and returns their newest states: nil for every one
// that is not to be had in the usual way, because it was never saved, does not
// verify, is large, is fenced or cannot be reached. Claim and Load tell which, and
// may find that it was claimed already. It tries once, and only where one server
// has all, and the level did not fall short a moment ago, of which a Claim tells.
func (s *Store) TakeOver(ctx context.Context, ids []string, epoch uint64) []*store.Snapshot {
	snaps := make([]*store.Snapshot, len(ids))
	if !s.isSingle() || !s.prompt || len(ids) == 0 || s.typical.Load() > smallState || s.level.short.Load() {
		return snaps
	}
	ctx, cancel := bound(ctx, loadTime, 0)
	defer cancel()
	t := &takeover{keys: make([]keys, len(ids)), epoch: digits(epoch)}
	for i, id := range ids {
		t.keys[i] = s.keys(id)
	}
	marks := s.acked.marks(ids)
	if !s.takeOver(ctx, t) {
		return snaps
	}
	for n, i := range t.places {
		if snaps[i] = s.taken(t, ids[i], n); snaps[i] != nil {
			s.acked.saw(ids[i], marks[i], snaps[i].LastVersion, snaps[i].LastVersion)
		}
	}
	return snaps
}

// takeOver takes the steps of t and reports that states were read.
func (s *Store) takeOver(ctx context.Context, t *takeover) bool {
	ok := s.take(ctx, t, claimKnown)
	if noScript(t.claims) {
		ok = s.take(ctx, t, claimSource)
	}
	if t.claims != nil && s.learnSlots(t.claims) {
		return false
	}
	return ok && t.choose() && s.take(ctx, t, readClaimed)
}

func (s *Store) take(ctx context.Context, t *takeover, next step) bool {
	t.step = next
	j := &job{takeover: t, keys: [3]string{t.keys[0].state, t.keys[0].fence}, durable: next != readClaimed, owns: true, patience: patience(0)}
	if j.size = len(t.keys) * 128; next == readClaimed {
		j.size = len(t.places) * smallState
	}
	return s.reads.of(ctx, j.key()).direct(ctx, j) && j.err() == nil && j.short == nil
}

func (t *takeover) queue(ctx context.Context, p redis.Pipeliner) {
	if t.step == readClaimed {
		t.queueRead(ctx, p)
		return
	}
	name, script := "evalsha", claimsScript.sha
	if t.step == claimSource {
		name, script = "eval", claimsScript.source
	}
	args := append(make([]any, 0, 5+2*len(t.keys)), name, script, 2*len(t.keys))
	for i := range t.keys { // pointers, since strings would be copied to the heap
		args = append(args, &t.keys[i].fence)
	}
	for i := range t.keys {
		args = append(args, &t.keys[i].state)
	}
	t.claims = redis.NewCmd(ctx, append(args, t.epoch, smallState)...)
	_ = p.Process(ctx, t.claims)
}

// choose takes the places of the components that were claimed and whose states are
// small, and reports that there are any.
func (t *takeover) choose() bool {
	claimed, _ := t.claims.Val().(string)
	if len(claimed) != len(t.keys) {
		return false
	}
	for i := range len(claimed) {
		if claimed[i] == 'y' {
			t.places = append(t.places, i)
		}
	}
	return len(t.places) > 0
}

// queueRead asks for states and fences together, so that they are of one moment.
// No save of an earlier owner can come any more.
func (t *takeover) queueRead(ctx context.Context, p redis.Pipeliner) {
	args := append(make([]any, 0, 1+2*len(t.places)), "mget")
	for _, i := range t.places {
		args = append(args, &t.keys[i].state, &t.keys[i].fence)
	}
	t.read = redis.NewSliceCmd(ctx, args...)
	_ = p.Process(ctx, t.read)
}

// err returns why the step has no result: failed is what its pipeline says, master
// what the server does that was asked whether it is one.
func (t *takeover) err(failed, master error) error {
	switch {
	case t.step == readClaimed && t.read != nil:
		return cmp.Or(failed, master, t.read.Err())
	case t.step != readClaimed && t.claims != nil:
		return cmp.Or(failed, master, t.claims.Err())
	}
	return cmp.Or(failed, errNoReply)
}

// taken returns the n-th state that was read, that of the component id; nil when it
// is not the one that its fence names, or the claim is not in force any more.
func (s *Store) taken(t *takeover, id string, n int) *store.Snapshot {
	values := t.read.Val()
	if len(values) != 2*len(t.places) {
		return nil
	}
	state, there := values[2*n].(string)
	line, known := values[2*n+1].(string) // neither is there when it is of another type
	if !there || !known {
		return nil
	}
	rec, err := parseRecord(line)
	if err != nil || !rec.saved() || digits(rec.fence.Epoch) != t.epoch { // another server, or another owner
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
	if t.read == nil {
		return 0
	}
	for _, v := range t.read.Val() {
		value, _ := v.(string)
		most = max(most, len(value))
	}
	return most
}
