package rows

import (
	"sync"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/measure"
)

type counter struct{ N int }

// locked is a state under a plain mutex, changed as Update changes one.
type locked struct {
	mu sync.Mutex
	s  counter
}

func (l *locked) update(fn func(*counter)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn(&l.s)
}

// update measures what Update costs beyond the lock.
func (b *Bench) update() error {
	n := b.n(20_000_000, 1000)
	var hand locked
	var ours durable.StatefulComponent[counter]
	const base, name = "plain mutex", "durable, Update"
	t, err := b.table("Changing a small state, uncontended", false,
		measure.Case{Name: base, Ops: n, Run: func() error {
			for range n {
				hand.update(func(s *counter) { s.N++ })
			}
			return nil
		}},
		measure.Case{Name: name, Ops: n, Ours: true, Run: func() error {
			for range n {
				ours.Update(func(s *counter) { s.N++ })
			}
			return nil
		}},
	)
	if err != nil {
		return err
	}
	b.limit(13, "`Update` of a small state, uncontended: more than the same change under a plain mutex", 30, "ns", t.Difference(base, name))
	return nil
}
