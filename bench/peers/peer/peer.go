// Package peer says what is asked of a peer. It is a package of its own so that
// the rows and their tests do not link the peers.
package peer

import "time"

// A Store keeps values under keys. Put returns when the value is durable. It is
// safe for concurrent use unless its Peer is for OneOnly.
type Store interface {
	Put(key string, value []byte) error
	Close() error
}

// A Peer opens a Store in a directory that exists.
type Peer struct {
	Name    string
	Open    func(dir string) (Store, error)
	OneOnly bool // for one caller at a time
	Costly  int  // how much longer than the quickest a put takes with many callers, roughly
}

// A Batcher returns a function that sets many keys at once.
type Batcher func(addr string) (SetMany, error)

// SetMany sets keys to values with a TTL, all in one go.
type SetMany func(keys []string, values [][]byte, ttl time.Duration) error

// Names of the peers that rows are about.
const (
	Raft   = "hashicorp/raft FileSnapshotStore"
	Pebble = "pebble Set, Sync"
	Bbolt  = "bbolt Batch"
	SQLite = "SQLite WAL FULL, one upsert per transaction"
)
