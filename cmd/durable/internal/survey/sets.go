package survey

import (
	"cmp"
	"context"
	"fmt"
	"sync"
)

// Sets remembers the consistent sets of systems. It is safe for concurrent use.
type Sets struct {
	s  *Store
	mu sync.Mutex
	m  map[string]func() *Set
}

// Sets returns an empty memory of sets.
func (s *Store) Sets() *Sets { return &Sets{s: s, m: map[string]func() *Set{}} }

// Of returns the set of the system to which the component id belongs.
func (x *Sets) Of(ctx context.Context, id string) *Set {
	name := SetOf(id)
	x.mu.Lock()
	look, ok := x.m[name]
	if !ok {
		look = sync.OnceValue(func() *Set { return x.s.Set(ctx, name) })
		x.m[name] = look
	}
	x.mu.Unlock()
	return look()
}

// judged is the set as a component of which all parts count.
func (s *Set) judged() Component {
	c, err := s.Newest, s.Damaged
	for i := range s.Members {
		err = cmp.Or(err, s.Members[i].Err)
	}
	if err != nil {
		c.Verdict, c.Detail = Corrupt, unread(err)
	}
	return c
}

func unread(err error) string {
	return fmt.Sprintf("not all of its components can be read: %v", err)
}

// Restored looks at a component as a restart finds it: by itself or in the set.
func (x *Sets) Restored(ctx context.Context, id string) Component {
	if IsSet(id) {
		return x.Of(ctx, id).judged()
	}
	own, _ := x.s.Newest(ctx, id)
	if Internal(id) {
		return own
	}
	return x.Of(ctx, id).Restored(own)
}
