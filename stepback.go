package durable

import (
	"context"
	"fmt"
)

// canStepBack reports whether CrashPolicy wants members to step that many
// generations back and at least one of them has so many.
func (c *Checkpointer) canStepBack(ctx context.Context, members []*member, generations int) (bool, error) {
	h, ok := c.adapter.(Historian)
	if !ok || c.opts.CrashPolicy != StepBackOnCrashes {
		return false, nil
	}
	for _, m := range append([]*member{c.set.m}, members...) {
		versions, err := m.sound(ctx, h)
		if err != nil {
			return false, err
		}
		if len(versions) > generations {
			return true, nil
		}
	}
	return false, nil
}

// sound lists the versions of m that verify, newest first.
func (m *member) sound(ctx context.Context, h Historian) ([]uint64, error) {
	infos, err := h.ListSnapshots(ctx, m.name)
	if err != nil && !definite(err) {
		return nil, err
	}
	var versions []uint64
	for _, i := range infos {
		if i.Err == nil {
			versions = append(versions, i.Version)
		}
	}
	return versions, nil
}

// stepBack returns an older generation in place of newest, the state with which
// the starts before this one came to no good end, and the versions that it
// stepped over, which are set aside first. A component without an older one
// keeps what it has, and so does one that was saved since this start.
func (m *member) stepBack(ctx context.Context, newest *Snapshot) (*Snapshot, []uint64, error) {
	generations := m.c.starts.stepsBack()
	if generations == 0 || m.savedSinceStart(newest) {
		return newest, nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.c.opts.SaveTimeout)
	defer cancel()
	h := m.c.adapter.(Historian) // else nobody steps back
	versions, err := m.sound(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	older, back, err := m.olderThan(ctx, h, versions, generations)
	if err != nil {
		return nil, nil, err
	}
	if older == nil {
		return newest, nil, nil
	}
	for _, v := range versions[:back] {
		bad, err := h.LoadSnapshot(ctx, m.name, v)
		if err == nil {
			err = m.setAside(ctx, m.c.adapter, bad)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("version %d, with which starts ended badly, could not be set aside: %w", v, err)
		}
	}
	_, last := fenceOf(newest, nil)
	older.LastVersion = max(older.LastVersion, last)
	m.c.log.Error("durable: stepping back to an older generation, because starts with the newest keep ending badly",
		"component", m.id(), "version", older.Version, "skipped", versions[:back])
	return older, versions[:back], nil
}

// olderThan returns the snapshot that many generations back, or as many as there
// are, and how many that is; nil when there is none. One that was set aside is not
// gone back to: saves of the starts since may have made it an older one again.
func (m *member) olderThan(ctx context.Context, h Historian, versions []uint64, generations int) (*Snapshot, int, error) {
	for back := min(generations, len(versions)-1); 0 < back && back < len(versions); back++ {
		older, err := h.LoadSnapshot(ctx, m.name, versions[back])
		if err != nil {
			return nil, 0, err
		}
		_, err = m.c.adapter.LoadState(ctx, asideID(m.name, older))
		if err != nil && !definite(err) {
			return nil, 0, err
		}
		if err != nil {
			return older, back, nil
		}
	}
	return nil, 0, nil
}

// savedSinceStart reports that newest is not what the starts before this one came
// to no good end with. Without ownership the first restore decides.
func (m *member) savedSinceStart(newest *Snapshot) bool {
	if m.c.owner == nil {
		return m.everRestored()
	}
	return newest.Epoch >= m.c.starts.epoch
}
