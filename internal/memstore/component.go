package memstore

import (
	"bytes"
	"errors"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// A component is what the store knows of one id. The fence stays for ever.
type component struct {
	fence       store.Fence
	last        store.Attempt // zero: never saved, or deleted
	expires     time.Time     // of all generations; zero: never
	generations []generation  // newest first
}

// A generation is one stored envelope. Its bytes are never changed.
type generation struct {
	version  uint64
	envelope []byte
}

func (c *component) saved() bool { return c.last != store.Attempt{} }

func (c *component) expired() bool { return !c.expires.IsZero() && !time.Now().Before(c.expires) }

// missing says why the newest generation is not there, nil if it is.
func (c *component) missing() error {
	switch {
	case !c.saved():
		return store.Answer(c.fence, store.ErrNotFound, "")
	case c.expired():
		return store.Answer(c.fence, store.ErrExpired, "at %s", c.expires.UTC().Format(time.RFC3339))
	case len(c.generations) == 0 || c.generations[0].version != c.last.Version:
		return store.Answer(c.fence, store.ErrLost, "version %d is gone", c.last.Version)
	}
	return nil
}

// intact reports whether the last accepted save can be loaded.
func (c *component) intact(id string) bool {
	if c.missing() != nil {
		return false
	}
	_, err := c.generations[0].decode(id)
	return err == nil
}

// put makes b the newest generation and drops those that verify beyond keep, unless
// that is 0. What does not verify stays.
func (c *component) put(id string, a store.Attempt, b []byte, keep int) {
	if c.expired() {
		c.generations = nil
	}
	verified := 1
	kept := []generation{{a.Version, b}}
	for _, g := range c.generations {
		_, err := g.decode(id)
		if err == nil {
			verified++
		}
		if err != nil || keep == 0 || verified <= keep {
			kept = append(kept, g)
		}
	}
	c.generations = kept
	c.last = a
	c.fence = store.Fence{Epoch: a.Epoch, Version: a.Version}
}

// newest returns the newest generation that verifies. One from the future is
// never passed over.
func (c *component) newest(id string) (*store.Snapshot, error) {
	for _, g := range c.generations {
		s, err := c.load(id, g)
		if err == nil || errors.Is(err, store.ErrTooNew) {
			return s, err
		}
	}
	return nil, store.Answer(c.fence, store.ErrCorrupt, "none of %d generations verifies", len(c.generations))
}

// version returns the generation of that version, the one that verifies if a
// damaged one was saved again.
func (c *component) version(id string, version uint64) (*store.Snapshot, error) {
	err := store.Answer(c.fence, store.ErrNotFound, "version %d is not stored", version)
	if c.expired() {
		return nil, err
	}
	for _, g := range c.generations {
		if g.version != version {
			continue
		}
		s, failed := c.load(id, g)
		if failed == nil {
			return s, nil
		}
		err = failed
	}
	return nil, err
}

func (c *component) load(id string, g generation) (*store.Snapshot, error) {
	s, err := g.decode(id)
	if err != nil {
		return nil, store.Answer(c.fence, err, "version %d", g.version)
	}
	s.Data = bytes.Clone(s.Data)
	s.LastVersion = c.fence.Version
	return s, nil
}

// decode returns what the generation holds. Data aliases its bytes.
func (g generation) decode(id string) (*store.Snapshot, error) {
	return envelope.Decode(id, g.envelope)
}

func (g generation) info(id string) store.SnapshotInfo {
	s, err := g.decode(id)
	if err != nil {
		return store.SnapshotInfo{Version: g.version, Bytes: len(g.envelope), Err: err}
	}
	return store.SnapshotInfo{Epoch: s.Epoch, Version: s.Version, SavedAt: s.SavedAt, Schema: s.Schema, Codec: s.Codec, Bytes: len(s.Data)}
}
