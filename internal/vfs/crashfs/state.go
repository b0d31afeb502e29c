package crashfs

import (
	"fmt"
	"maps"
)

type kind uint8

const (
	marked kind = iota
	created
	wrote
	synced
	syncFailed
	renamed
	removed
	dirSynced
	dirSyncFailed
)

// An event is one change of the disk, or a remark.
type event struct {
	kind     kind
	name, to string
	ino      int
	off      int
	data     []byte
	mark     any
}

func (e *event) String() string {
	switch e.kind {
	case created:
		return "create " + e.name
	case wrote:
		return fmt.Sprintf("write inode %d: %d bytes at %d", e.ino, len(e.data), e.off)
	case synced:
		return fmt.Sprintf("sync inode %d", e.ino)
	case syncFailed:
		return fmt.Sprintf("sync inode %d fails", e.ino)
	case renamed:
		return "rename " + e.name + " to " + e.to
	case removed:
		return "remove " + e.name
	case dirSynced:
		return "sync directory"
	case dirSyncFailed:
		return "sync directory fails"
	}
	return fmt.Sprint("-- ", e.mark)
}

// A State is what is durable, what is not, and what is seen.
type State struct {
	inodes  []*inode
	names   map[string]*inode // as seen
	durable map[string]*inode // never changed, only replaced
	pending []change          // of names since durable, in order
	changes int               // of names so far
	doubt   bool              // a sync of the directory failed
}

// A change of names is sure to survive once a later sync succeeded.
type change struct {
	kind     kind // created, renamed, removed
	name, to string
	ino      *inode
	sure     bool
	lost     bool // it was forgotten by a sync that failed
}

func newState(img *Image) *State {
	s := &State{names: make(map[string]*inode, len(img.names)+4)}
	s.inodes = make([]*inode, 0, len(img.names)+4)
	files := make([]inode, len(img.names))
	for i, name := range img.names {
		n := &files[i]
		n.cur, n.base, n.key = img.data[i], img.data[i], img.keys[i]
		s.inodes = append(s.inodes, n)
		s.names[name] = n
	}
	s.durable = maps.Clone(s.names)
	return s
}

func (s *State) apply(e *event) {
	if e.kind == created || e.kind == renamed || e.kind == removed {
		s.changes++
	}
	switch e.kind {
	case created:
		n := &inode{}
		s.inodes = append(s.inodes, n)
		s.names[e.name] = n
		s.pending = append(s.pending, change{kind: created, name: e.name, ino: n})
	case wrote:
		s.inodes[e.ino].write(e.off, e.data)
	case synced:
		s.inodes[e.ino].sync()
	case syncFailed:
		s.inodes[e.ino].forget()
	case renamed:
		n := s.names[e.name]
		delete(s.names, e.name)
		s.names[e.to] = n
		s.pending = append(s.pending, change{kind: renamed, name: e.name, to: e.to, ino: n})
	case removed:
		delete(s.names, e.name)
		s.pending = append(s.pending, change{kind: removed, name: e.name})
	case dirSynced:
		s.syncDir()
	case dirSyncFailed:
		s.doubt = true
		for i := range s.pending {
			s.pending[i].lost = !s.pending[i].sure
		}
	}
}

func (s *State) syncDir() {
	if !s.doubt {
		s.durable, s.pending = maps.Clone(s.names), nil
		return
	}
	for i := range s.pending {
		s.pending[i].sure = !s.pending[i].lost
	}
}
