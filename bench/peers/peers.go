// Package peers has what programs use today to keep bytes durable in files, each
// through its public API and with the settings that survive a power cut, and a
// Redis client that batches on its own.
package peers

import "github.com/durablestate/durable/bench/peers/peer"

// All returns the file stores that are measured.
func All() []peer.Peer {
	return []peer.Peer{
		{Name: peer.Raft, Open: openRaft, OneOnly: true},
		{Name: "renameio WriteFile (no directory fsync)", Open: openRenameio, OneOnly: true},
		{Name: peer.Pebble, Open: openPebble, Costly: 1},
		{Name: peer.Bbolt, Open: openBbolt, Costly: 8},
		{Name: peer.SQLite, Open: openSQLite, Costly: 16},
	}
}
