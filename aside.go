package durable

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// setAside copies snap to an id of its own in a, where retention does not reach it.
func (m *member) setAside(ctx context.Context, a StateAdapter, snap *Snapshot) error {
	ctx, cancel := context.WithTimeout(ctx, m.c.opts.SaveTimeout)
	defer cancel()
	id := asideID(m.name, snap)
	if kept, err := a.LoadState(ctx, id); err == nil && bytes.Equal(kept.Data, snap.Data) {
		return nil
	}
	kept := *snap
	kept.Epoch, kept.Version, kept.WriteID = 0, 0, ""
	if err := a.SaveState(ctx, id, &kept); err != nil {
		return err
	}
	m.c.log.Warn("durable: unusable state was set aside", "component", m.id(), "version", snap.Version, "as", id)
	return nil
}

// setOlderAside sets the newest generation aside that is left of a lost state:
// the saves of a fresh one would soon take its place.
func (m *member) setOlderAside(ctx context.Context) error {
	h, ok := m.c.adapter.(Historian)
	if !ok {
		return nil
	}
	reading, cancel := context.WithTimeout(ctx, m.c.opts.SaveTimeout)
	defer cancel()
	infos, err := h.ListSnapshots(reading, m.name)
	if err != nil && !definite(err) {
		return err
	}
	for _, i := range infos {
		if i.Err != nil {
			continue
		}
		snap, err := h.LoadSnapshot(reading, m.name, i.Version)
		if err != nil {
			return err
		}
		return m.setAside(ctx, m.c.adapter, snap)
	}
	return nil
}

func asideID(name string, snap *Snapshot) string {
	id := fmt.Sprintf("~aside/%d-%d/%s", snap.Epoch, snap.Version, name)
	if checkID(id) != nil { // too long
		sum := sha256.Sum256([]byte(name))
		id = fmt.Sprintf("~aside/%d-%d/%s", snap.Epoch, snap.Version, hex.EncodeToString(sum[:16]))
	}
	return id
}
