package peers

import (
	"io"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/hashicorp/raft"

	"github.com/durablestate/durable/bench/peers/peer"
)

// raftStore takes a snapshot for each put, whatever its key: that is what its API
// offers.
type raftStore struct {
	snaps *raft.FileSnapshotStore
	trans raft.Transport
	index uint64
}

func openRaft(dir string) (peer.Store, error) {
	snaps, err := raft.NewFileSnapshotStore(dir, 2, io.Discard)
	if err != nil {
		return nil, err
	}
	_, trans := raft.NewInmemTransport("")
	return &raftStore{snaps: snaps, trans: trans}, nil
}

func (s *raftStore) Put(_ string, value []byte) error {
	s.index++
	sink, err := s.snaps.Create(raft.SnapshotVersionMax, s.index, 1, raft.Configuration{}, 1, s.trans)
	if err != nil {
		return err
	}
	if _, err := sink.Write(value); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s *raftStore) Close() error { return nil }

type renameioStore struct{ dir string }

func openRenameio(dir string) (peer.Store, error) { return renameioStore{dir}, nil }

func (s renameioStore) Put(key string, value []byte) error {
	return renameio.WriteFile(filepath.Join(s.dir, key), value, 0o600)
}

func (s renameioStore) Close() error { return nil }
