package engine

import (
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/saver"
	"github.com/durablestate/durable/internal/store"
)

// member is a registered component, and the saver of its state by itself. With
// Options.Consistent that saver only tells what was found of it by itself.
type member struct {
	component.Registered
	own   saver.Saver
	place uint32 // in the registry's order
}

// registry has the members in the order of registration, and finds one by its id.
// Adding, finding and removing cost the same however many others there are. It is
// safe for concurrent use.
type registry struct {
	words   backend.Words
	members atomic.Int64 // how many

	mu       sync.Mutex
	byID     map[string]*member
	arriving map[string]bool // ids that are being registered
	order    []*member       // nil: was removed
	removed  int             // of those
}

func newRegistry(words backend.Words) *registry {
	return &registry{words: words, byID: map[string]*member{}, arriving: map[string]bool{}}
}

// announce takes the id for a member that is to be added.
func (r *registry) announce(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.arriving[id] || r.byID[id] != nil {
		return errors.New("the id is registered already")
	}
	r.arriving[id] = true
	return nil
}

// add takes in the member that was announced; nil if it does not come.
func (r *registry) add(id string, m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.arriving, id)
	if m == nil {
		return
	}
	m.place = uint32(len(r.order))
	r.byID[id] = m
	r.order = append(r.order, m)
	r.members.Add(1)
}

// remove takes a member out.
func (r *registry) remove(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byID, m.ID())
	r.order[m.place] = nil
	r.removed++
	r.members.Add(-1)
	if r.removed <= len(r.order)/2 {
		return
	}
	left := make([]*member, 0, len(r.order)-r.removed) // a new one: all may be reading the old one
	for _, m := range r.order {
		if m != nil {
			m.place = uint32(len(left))
			left = append(left, m)
		}
	}
	r.order, r.removed = left, 0
}

// find returns the member of that id, nil if there is none.
func (r *registry) find(id string) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

// all yields the members in the order of registration. It holds no lock while it
// does, and may yield one that is removed meanwhile.
func (r *registry) all() iter.Seq[*member] {
	return func(yield func(*member) bool) {
		r.mu.Lock()
		order := r.order
		r.mu.Unlock()
		var some [256]*member
		for len(order) > 0 {
			r.mu.Lock()
			n := copy(some[:], order)
			r.mu.Unlock()
			order = order[n:]
			for _, m := range some[:n] {
				if m != nil && !yield(m) {
					return
				}
			}
		}
	}
}

// choose returns the members of the ids, each once; all for none.
func (r *registry) choose(ids []string) ([]*member, error) {
	if len(ids) == 0 {
		return slices.AppendSeq(make([]*member, 0, r.members.Load()), r.all()), nil
	}
	chosen := make([]*member, 0, len(ids))
	seen := make(map[string]bool, len(ids))
	var errs []error
	for _, id := range ids {
		switch m := r.find(id); {
		case seen[id]:
		case m == nil:
			errs = append(errs, r.words.Fault("choose", id, store.ErrNotRegistered))
		default:
			seen[id] = true
			chosen = append(chosen, m)
		}
	}
	return chosen, errors.Join(errs...)
}
