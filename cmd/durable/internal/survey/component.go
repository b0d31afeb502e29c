package survey

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/store"
)

// A Verdict says in a word how sound a component or a generation is.
type Verdict string

// The verdicts. All but OK, Unverified and Removed are something to look at.
const (
	OK         Verdict = "ok"                    // every byte that was looked at verifies
	Unverified Verdict = "unverified"            // a plain value without checksums
	Degraded   Verdict = "degraded"              // the newest generation verifies, an older one does not
	FellBack           = Verdict(store.FellBack) // the newest generation does not verify, an older one does
	Expired            = Verdict(store.Expired)  // its TTL ended
	Lost               = Verdict(store.Lost)     // gone before its TTL
	Corrupt            = Verdict(store.Corrupt)  // nothing verifies
	TooNew             = Verdict(store.TooNew)   // a newer program wrote it
	Missing    Verdict = "missing"               // never saved, or deleted
	Removed    Verdict = "removed"               // it was removed from the set of its system
	Unreadable Verdict = "unreadable"            // it could not be read
)

// Sound reports whether a restore would give the newest state back, if there is to
// be one.
func (v Verdict) Sound() bool { return v == OK || v == Unverified || v == Removed }

// VerdictOf names the error of a load.
func VerdictOf(err error) Verdict {
	if err == nil {
		return OK
	}
	switch o := store.OutcomeOf(err); o {
	case store.FirstBoot:
		return Missing
	case store.Unreachable:
		return Unreadable
	default:
		return Verdict(o)
	}
}

// A Component is what was found out about one component.
type Component struct {
	ID          string    `json:"id"`
	Version     uint64    `json:"version"`
	LastVersion uint64    `json:"last_version,omitempty"` // above Version after a fallback
	Epoch       uint64    `json:"epoch"`
	SavedAt     time.Time `json:"saved_at,omitzero"`
	Bytes       int64     `json:"bytes"`
	Codec       string    `json:"codec,omitempty"`
	Schema      int       `json:"schema,omitempty"`
	Generations int       `json:"generations,omitempty"` // that were looked at
	AllBytes    int64     `json:"all_bytes,omitempty"`   // of these
	Verdict     Verdict   `json:"verdict"`
	Detail      string    `json:"detail,omitempty"`
	In          string    `json:"in,omitempty"`          // the set that has this state; empty: it is stored by itself
	Own         uint64    `json:"own_version,omitempty"` // of an older state that is stored by itself

	err   error       // of the load
	found store.Found // what it told, as one of the two places that a restart chooses from
}

// Newest looks at the newest generation of a component that verifies.
func (s *Store) Newest(ctx context.Context, id string) (Component, *durable.Snapshot) {
	snap, err := s.LoadState(ctx, id)
	c := Component{ID: id, Verdict: VerdictOf(err)}
	if err != nil {
		c.fail(err)
	}
	c.found = store.FoundBy((*store.Snapshot)(snap), store.Fence{Epoch: c.Epoch, Version: c.LastVersion}, err)
	if err != nil {
		return c, nil
	}
	c.Version, c.Epoch, c.SavedAt, c.LastVersion = snap.Version, snap.Epoch, snap.SavedAt, snap.LastVersion
	c.Bytes, c.Codec, c.Schema = int64(len(snap.Data)), snap.Codec, snap.Schema
	switch {
	case snap.LastVersion > snap.Version:
		c.Verdict, c.Detail = FellBack, "the newest generation does not verify"
	case snap.Version == 0:
		c.Verdict = Unverified
	}
	return c, snap
}

// Err returns why there is no state, nil if there is one.
func (c *Component) Err() error { return c.err }

func (c *Component) fail(err error) {
	c.err, c.Detail = err, err.Error()
	if e := (*durable.Error)(nil); errors.As(err, &e) {
		c.Epoch, c.LastVersion = e.Epoch, e.Version
	}
}

// Verify reads and checks every generation of a component.
func (s *Store) Verify(ctx context.Context, id string) (Component, []durable.SnapshotInfo) {
	infos, err := s.ListSnapshots(ctx, id)
	c := Component{ID: id, Verdict: VerdictOf(err)}
	if err != nil {
		c.fail(err)
		return c, nil
	}
	c.judge(infos)
	if c.Verdict == OK {
		s.checkNewest(ctx, &c)
	}
	if IsSet(id) && (c.Verdict == OK || c.Verdict == Degraded) {
		s.checkMembers(ctx, &c)
	}
	return c, infos
}

// checkMembers finds out whether the members of a set can be read.
func (s *Store) checkMembers(ctx context.Context, c *Component) {
	snap, err := s.LoadState(ctx, c.ID)
	if err != nil {
		return // superseded or deleted since
	}
	members, err := Members(snap.Data)
	for _, m := range members {
		err = cmp.Or(err, m.Err)
	}
	if err != nil {
		c.Verdict, c.Detail = Corrupt, unread(err)
	}
}

// judge takes what a listing says, newest first, in.
func (c *Component) judge(infos []durable.SnapshotInfo) {
	c.Generations = len(infos)
	found := false
	for i, g := range infos {
		c.AllBytes += int64(g.Bytes)
		c.LastVersion = max(c.LastVersion, g.Version)
		switch {
		case g.Err != nil && (c.Detail == "" || !found):
			c.Detail = g.Err.Error()
			if found {
				c.Verdict = Degraded
			} else if i == 0 {
				c.Verdict = VerdictOf(g.Err)
			}
		case g.Err == nil && !found:
			found = true
			c.Version, c.Epoch, c.SavedAt, c.Bytes, c.Codec, c.Schema = g.Version, g.Epoch, g.SavedAt, int64(g.Bytes), g.Codec, g.Schema
			if i > 0 && c.Verdict != TooNew {
				c.Verdict = FellBack
			} else if i == 0 && g.Version == 0 {
				c.Verdict = Unverified
			}
		}
	}
}

// checkNewest finds out whether the newest generation listed is the newest ever
// saved: one that vanished leaves no trace in a listing.
func (s *Store) checkNewest(ctx context.Context, c *Component) {
	f, err := s.Fence(ctx, c.ID)
	switch {
	case err != nil:
		c.Verdict, c.Detail = Unreadable, err.Error()
	case f.Version > c.Version:
		again, _ := s.Newest(ctx, c.ID) // somebody may have saved meanwhile
		if again.Version < f.Version {
			again.Generations, again.AllBytes = c.Generations, c.AllBytes
			*c = again
		}
	}
}

// VerdictOfInfo judges one generation of a history.
func VerdictOfInfo(g durable.SnapshotInfo) Verdict {
	if g.Err == nil && g.Version == 0 {
		return Unverified
	}
	return VerdictOf(g.Err)
}
