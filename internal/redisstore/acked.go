package redisstore

import (
	"fmt"
	"sync"
)

// mostAcked bounds how many components a store remembers.
const mostAcked = 10000

// acked remembers the highest version that the server is known to have had of
// each component. A server that is below it has lost what it acknowledged, since
// a fence never falls: after a failover, or restarted without its data.
type acked struct {
	mu    sync.Mutex
	last  map[string]uint64
	count int
	event string
}

// mark returns what is known of id before a call, against which the answer to
// the call is to be judged: others may go on while it is under way.
func (a *acked) mark(id string) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last[id]
}

// saw is told that a call that began at mark found the server at version found,
// and left it at version left.
func (a *acked) saw(id string, mark, found, left uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.last[id]
	if found < mark && last == mark { // else somebody has told it already
		a.count++
		a.event = fmt.Sprintf("component %q was at version %d, and then the server knew only %d", id, mark, found)
		last = 0
	}
	a.set(id, max(last, left))
}

func (a *acked) set(id string, version uint64) {
	if a.last == nil {
		a.last = map[string]uint64{}
	}
	if _, known := a.last[id]; !known && len(a.last) >= mostAcked {
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
