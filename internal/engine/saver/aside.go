package saver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/durablestate/durable/internal/engine/backend"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// SetAside copies snap to an id of its own in a, where retention does not reach it.
func (s *Saver) SetAside(ctx context.Context, a backend.States, snap *store.Snapshot) error {
	ctx, cancel := context.WithTimeout(ctx, s.sys.Timeout)
	defer cancel()
	as := asideName(s.Name(), snap)
	if kept, err := a.Load(ctx, as); err == nil && bytes.Equal(kept.Data, snap.Data) {
		return nil
	}
	kept := *snap
	kept.Epoch, kept.Version, kept.WriteID = 0, 0, ""
	if err := a.Save(ctx, as, &kept); err != nil {
		return err
	}
	s.sys.Log.Warn("durable: unusable state was set aside", "component", s.ID(), "version", snap.Version, "as", as)
	return nil
}

// SetOlderAside sets the newest generation aside that is left of a lost state:
// the saves of a fresh one would soon take its place.
func (s *Saver) SetOlderAside(ctx context.Context) error {
	if s.sys.History == nil {
		return nil
	}
	reading, cancel := context.WithTimeout(ctx, s.sys.Timeout)
	defer cancel()
	infos, err := s.sys.History.History(reading, s.Name())
	if err != nil && !store.IsAnswer(err) {
		return err
	}
	for _, i := range infos {
		if i.Err != nil {
			continue
		}
		snap, err := s.sys.History.LoadVersion(reading, s.Name(), i.Version)
		if err != nil {
			return err
		}
		return s.SetAside(ctx, s.sys, snap)
	}
	return nil
}

// asideName is the name under which snap, of the state name, is set aside.
func asideName(name string, snap *store.Snapshot) string {
	prefix := fmt.Sprintf(store.AsidePrefix+"%d-%d/", snap.Epoch, snap.Version)
	if !envelope.ValidID(prefix + name) { // too long
		sum := sha256.Sum256([]byte(name))
		name = hex.EncodeToString(sum[:16])
	}
	return prefix + name
}
