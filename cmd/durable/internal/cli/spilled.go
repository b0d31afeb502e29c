package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
	"github.com/durablestate/durable/internal/store"
)

// spilled is what a spill directory holds, as the next start of a program finds it.
type spilled struct {
	ours                       []entry
	others, unlabelled, unread []string
	isStore                    bool // it has an identity of its own
}

// entry is a state that was spilled for this store.
type entry struct {
	id string
	*durable.Snapshot
}

// spill looks for final snapshots that the next start will read, and foretells what
// it makes of them.
func spill(ctx context.Context, o *opened) []finding {
	if o.set.Spill == "" || checkStore(o.set.Spill) != nil {
		return nil
	}
	in, identity, err := lookIntoSpill(ctx, o)
	if err != nil {
		return []finding{{"spill", "unknown", "spill", err.Error(), ""}}
	}
	return in.judge(identity)
}

// due returns the versions that the next start takes from the spill in place of what
// the store has, by the names of their states; 0: it cannot be read.
func due(ctx context.Context, o *opened) (map[string]uint64, error) {
	if o.set.Spill == "" || checkStore(o.set.Spill) != nil {
		return nil, nil
	}
	in, _, err := lookIntoSpill(ctx, o)
	if err != nil {
		return nil, err
	}
	versions := map[string]uint64{}
	for _, e := range in.ours {
		name, _ := store.KeptName(e.id)
		f, err := o.Fence(ctx, name)
		if err != nil {
			return nil, err
		}
		if e.Epoch >= f.Epoch && e.Version > f.Version { // else it is set aside
			versions[name] = e.Version
		}
	}
	for _, id := range in.unread {
		name, _ := store.KeptName(id)
		versions[name] = 0
	}
	return versions, nil
}

func (in *spilled) judge(identity store.Identity) (found []finding) {
	add := func(severity, evidence, remedy string) {
		found = append(found, finding{"spill", severity, "spill", evidence, remedy})
	}
	named := func(ids []string) string {
		return ui.Plain(fmt.Sprintf("%q", ids[:min(len(ids), 5)]))
	}
	if in.isStore {
		add("error", "the spill directory is a store of its own; the next start refuses it", "give the program a spill_directory that nothing else uses")
	}
	if n := len(in.unlabelled); n > 0 {
		add("error", ui.Count(n, "state", "states")+" in the spill that nobody spilled: "+named(in.unlabelled)+"; the next start refuses them",
			"if it is the store of another program, choose another spill_directory; if not, copy them away and delete them there")
	}
	if n := len(in.others); n > 0 && identity == "" {
		add("warning", ui.Count(n, "state", "states")+" in the spill that another store spilled, or this one before it was emptied: "+named(in.others),
			"the next start writes them back if it recognises its store by its place, and refuses to start fresh if not: docs/recovery.md")
	} else if n > 0 {
		add("warning", ui.Count(n, "state", "states")+" in the spill for another store: "+named(in.others), "they stay there; give each program a spill_directory of its own")
	}
	if n := len(in.unread); n > 0 {
		add("error", ui.Count(n, "state", "states")+" in the spill that cannot be read: "+named(in.unread),
			"the next start falls back to what the store has, where it has something, and keeps the bytes; what a newer release spilled waits for that: docs/recovery.md")
	}
	if n := len(in.ours); n > 0 {
		var ids []string
		for _, e := range in.ours {
			ids = append(ids, e.id)
		}
		add("info", "the spill directory holds snapshots: "+ui.Count(n, "state", "states")+", "+named(ids), "the next start of the program on this volume reads them")
	}
	return found
}

// identityOf returns the identity of a store, empty if it has none.
func identityOf(ctx context.Context, a durable.StateAdapter, namespace string) (store.Identity, error) {
	s, err := a.LoadState(ctx, namespace+store.StoreID)
	switch {
	case err == nil:
		id, _ := store.ReadIdentity(s.Data)
		return id, nil
	case store.OutcomeOf(err) == store.Unreachable:
		return "", err
	}
	return "", nil
}

// lookIntoSpill sorts what is there for the system of o, and returns the identity of
// its store.
func lookIntoSpill(ctx context.Context, o *opened) (in spilled, identity store.Identity, err error) {
	identity, err = identityOf(ctx, o.StateAdapter, o.Namespace)
	if err != nil {
		return in, identity, err
	}
	a, err := durable.NewFileAdapter(o.set.Spill, nil)
	if err != nil {
		return in, identity, err
	}
	defer func() { err = cmp.Or(err, a.Close()) }()
	if _, err := a.LoadState(ctx, o.Namespace+store.StoreID); err == nil {
		in.isStore = true
	}
	for id, err := range a.ListComponents(ctx) {
		if err != nil {
			return in, identity, err
		}
		if err := in.sort(ctx, a, id, o.Namespace, identity); err != nil {
			return in, identity, err
		}
	}
	return in, identity, nil
}

// sort takes in what is under id, unless it is another system's, or something that the
// library keeps for itself.
func (in *spilled) sort(ctx context.Context, a durable.StateAdapter, id, namespace string, identity store.Identity) error {
	kept, isSpilled := strings.CutPrefix(id, store.SpillPrefix)
	owner, _, _ := strings.Cut(kept, "/")
	name, _ := store.KeptName(id)
	rest, ok := strings.CutPrefix(name, namespace)
	if !ok || strings.HasPrefix(id, store.AsidePrefix) || rest == store.SpillID || rest == store.StoreID || !isSpilled && strings.Contains(rest, "/") {
		return nil
	}
	s, err := a.LoadState(ctx, id)
	label := store.Identity(owner)
	if err == nil && !isSpilled {
		label = store.LabelOf((*store.Snapshot)(s))
	}
	switch {
	case errors.Is(err, durable.ErrNotFound):
	case err != nil && store.OutcomeOf(err) == store.Unreachable:
		return err
	case err != nil:
		in.unread = append(in.unread, id)
	case label == "":
		in.unlabelled = append(in.unlabelled, id)
	case label == identity:
		in.ours = append(in.ours, entry{id, s})
	default:
		in.others = append(in.others, id)
	}
	return nil
}
