package redisstore

import (
	"sync"
	"sync/atomic"
)

// Buffers of values are used again: having new large ones mapped and cleared costs
// more than the checksums, and new small ones are most of what a save leaves to be
// collected. Between two saves of a large state the garbage is usually collected,
// and the pools with it, so that one large buffer is kept beside them.
var (
	small, large sync.Pool
	kept         atomic.Pointer[[]byte]
)

const (
	smallRoom = 2 << 10
	keptRoom  = 2 << 20 // the most that stays in memory for good
	largeRoom = 8 << 20
)

// room returns an empty buffer for n bytes.
func room(n int) []byte {
	switch {
	case n <= smallRoom:
		if b, ok := small.Get().(*[smallRoom]byte); ok {
			return b[:0]
		}
		return make([]byte, 0, smallRoom)
	case n <= inline:
		return make([]byte, 0, n)
	}
	if b := kept.Swap(nil); b != nil {
		if cap(*b) >= n {
			return (*b)[:0]
		}
		large.Put(b)
	}
	if b, ok := large.Get().(*[]byte); ok && cap(*b) >= n {
		return (*b)[:0]
	}
	return make([]byte, 0, n)
}

// recycle takes back a buffer that nobody reads any more.
func recycle(b []byte) {
	switch {
	case cap(b) == smallRoom:
		small.Put((*[smallRoom]byte)(b[:smallRoom]))
	case cap(b) > inline && cap(b) <= largeRoom:
		keep(b)
	}
}

func keep(b []byte) {
	if cap(b) > keptRoom {
		large.Put(&b)
		return
	}
	if old := kept.Swap(&b); old != nil {
		large.Put(old)
	}
}
