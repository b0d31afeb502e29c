package redisstore

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

const (
	// mostAcked bounds how many components a store remembers.
	mostAcked = 10000

	// turnover is how many others a store meets then before it remembers one of them
	// instead: most of those that it knows are still known when their turn comes again.
	turnover = 16
)

// acked remembers the highest version that the server is known to have had of
// each component. A server that is below it has lost what it acknowledged, since
// a fence never falls: after a failover, or restarted without its data.
type acked struct {
	mu     sync.Mutex
	last   map[string]uint64
	untold map[string]string // what was seen of a component, until Rollback asks
	count  int
	event  string

	losses atomic.Uint64

	damaged  map[string]bool // components whose state was seen not to verify
	suspects atomic.Int32    // how many those are
}

// distrust notes that the state of id was seen not to verify, so that the next
// save has it judged: scripts cannot.
func (a *acked) distrust(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.damaged == nil {
		a.damaged = map[string]bool{}
	}
	if len(a.damaged) < mostAcked {
		a.damaged[id] = true
	}
	a.suspects.Store(int32(len(a.damaged)))
}

// distrusts reports whether that was noted of id.
func (a *acked) distrusts(id string) bool {
	if a.suspects.Load() == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.damaged[id]
}

// trust forgets what was noted of id.
func (a *acked) trust(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.damaged, id)
	a.suspects.Store(int32(len(a.damaged)))
}

// mark returns what is known of id before a call, against which the answer to
// the call is to be judged: others may go on while it is under way.
func (a *acked) mark(id string) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last[id]
}

// marks is mark for many.
func (a *acked) marks(ids []string) []uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	marks := make([]uint64, len(ids))
	for i, id := range ids {
		marks[i] = a.last[id]
	}
	return marks
}

// saw is told that a call that began at mark found the server at version found,
// and left it at version left.
func (a *acked) saw(id string, mark, found, left uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.last[id]
	if found < mark && last == mark { // else somebody has told it already
		a.count++
		a.lose()
		a.event = fmt.Sprintf("component %q was at version %d, and then the server knew only %d", id, mark, found)
		a.tell(id, a.event)
		last = 0
	}
	a.set(id, max(last, left))
}

func (a *acked) tell(id, what string) {
	if a.untold == nil {
		a.untold = map[string]string{}
	}
	if len(a.untold) < mostAcked {
		a.untold[id] = what
	}
}

// lose notes that the server was seen to have lost something.
func (a *acked) lose() { a.losses.Add(1) }

// Losses counts how often the server was seen to have lost something that it had
// acknowledged: a save, a stored copy or a lease. When it grows, more may be gone.
func (s *Store) Losses() uint64 { return s.acked.losses.Load() }

// Rollback says that the server had lost saves of id that it had acknowledged,
// as the last call on id found, and empty otherwise. It says it once. A save
// after which it does has stored its state nevertheless.
func (s *Store) Rollback(id string) string {
	a := &s.acked
	a.mu.Lock()
	defer a.mu.Unlock()
	what := a.untold[id]
	delete(a.untold, id)
	return what
}

func (a *acked) set(id string, version uint64) {
	if a.last == nil {
		a.last = map[string]uint64{}
	}
	if _, known := a.last[id]; !known && len(a.last) >= mostAcked {
		if rand.IntN(turnover) != 0 {
			return
		}
		for other := range a.last { // any
			delete(a.last, other)
			break
		}
	}
	a.last[id] = version
}

// rollbacks returns how often that happened, and the last case.
func (a *acked) rollbacks() (int, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count, a.event
}
