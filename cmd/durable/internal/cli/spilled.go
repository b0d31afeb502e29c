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
	ours, others, unlabelled []string
	isStore                  bool // it has an identity of its own
}

// spill looks for final snapshots that the next start will read, and foretells what
// it makes of them.
func spill(ctx context.Context, o *opened) []finding {
	if o.set.Spill == "" || checkStore(o.set.Spill) != nil {
		return nil
	}
	identity, err := identityOf(ctx, o.StateAdapter, o.Namespace)
	var in spilled
	if err == nil {
		in, err = lookIntoSpill(ctx, o, identity)
	}
	if err != nil {
		return []finding{{"spill", "unknown", "spill", err.Error(), ""}}
	}
	return in.judge(identity)
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
	if n := len(in.ours); n > 0 {
		add("info", "the spill directory holds snapshots: "+ui.Count(n, "state", "states")+", "+named(in.ours), "the next start of the program on this volume reads them")
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

// lookIntoSpill sorts what is there for the system of o.
func lookIntoSpill(ctx context.Context, o *opened, identity store.Identity) (in spilled, err error) {
	a, err := durable.NewFileAdapter(o.set.Spill, nil)
	if err != nil {
		return in, err
	}
	defer func() { err = cmp.Or(err, a.Close()) }()
	if _, err := a.LoadState(ctx, o.Namespace+store.StoreID); !errors.Is(err, durable.ErrNotFound) {
		in.isStore = true
	}
	for id, err := range a.ListComponents(ctx) {
		if err != nil {
			return in, err
		}
		name, ok := strings.CutPrefix(id, o.Namespace)
		kept, isKept := store.KeptName(id)
		switch {
		case isKept && strings.HasPrefix(id, store.SpillPrefix+string(identity)+"/") && identity != "":
			in.add(&in.ours, id)
		case isKept && strings.HasPrefix(id, store.SpillPrefix) && strings.HasPrefix(kept, o.Namespace):
			in.add(&in.others, id)
		case isKept || !ok || strings.Contains(name, "/"):
		default:
			s, err := a.LoadState(ctx, id)
			if err != nil {
				return in, err
			}
			in.add(in.listOf(store.LabelOf((*store.Snapshot)(s)), identity), id)
		}
	}
	return in, nil
}

func (in *spilled) listOf(label, identity store.Identity) *[]string {
	switch label {
	case "":
		return &in.unlabelled
	case identity:
		return &in.ours
	}
	return &in.others
}

// add leaves out what the library keeps for itself.
func (in *spilled) add(list *[]string, id string) {
	if last := id[strings.LastIndexByte(id, '/')+1:]; last != store.SpillID && last != store.StoreID {
		*list = append(*list, id)
	}
}
