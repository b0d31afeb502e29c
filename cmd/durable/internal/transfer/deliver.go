package transfer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/internal/store"
)

// Outcomes of a delivery.
const (
	Copied   = "copied"     // with its versions and epochs
	Replaced = "taken over" // under new versions, above the target's fence
	There    = "there"      // nothing had to be written
	Fenced   = "fence only" // there was no state to write
)

// A Result is what became of one component.
type Result struct {
	ID       string `json:"id"`
	Outcome  string `json:"outcome"`
	Written  int    `json:"written"`  // generations
	Verified int    `json:"verified"` // generations read back from the target and compared
	Bytes    int64  `json:"bytes"`
	Detail   string `json:"detail,omitempty"`
}

// Options of a delivery.
type Options struct {
	Force  bool // replace other state, and take it over from its owner
	DryRun bool // only say what would be done
	Places *Places
}

// ErrOther: the target holds state that is no earlier part of what is delivered.
var ErrOther = errors.New("the target holds other state of this component; --force takes it over")

// Deliver brings an item into the target: generations from the oldest to the
// newest, each with its version and epoch, then the fence, then all is read back
// and compared. What an interrupted delivery leaves is an older part of the
// history, which the same delivery completes.
func Deliver(ctx context.Context, to *survey.Store, it *Item, o Options) (Result, error) {
	d := &delivery{to: to, it: it, r: Result{ID: it.ID}}
	err := d.plan(ctx, o.Force)
	if err == nil || Refused(err) { // what --force does not help against is said first
		err = cmp.Or(d.agree(ctx, o.Places), err)
	}
	if err != nil {
		return d.r, fmt.Errorf("%q: %w", it.ID, err)
	}
	if o.DryRun {
		d.r.Written = len(d.todo)
		return d.r, nil
	}
	if err := d.write(ctx); err != nil {
		return d.r, fmt.Errorf("%q: %d of %d generations are in the target: %w", it.ID, d.r.Written, len(d.todo), err)
	}
	if err := d.verify(ctx); err != nil {
		return d.r, fmt.Errorf("%q: after the copy: %w", it.ID, err)
	}
	return d.r, nil
}

type delivery struct {
	to *survey.Store
	it *Item
	r  Result

	todo  []uint64 // versions of the item to write
	epoch uint64   // to claim first when the component is taken over, 0 otherwise
	above uint64   // versions go on above this when it is taken over
	claim uint64   // the fence's epoch in the end
	plain bool     // the item is a plain value and the target has it
	bury  bool     // the target has to learn of a deletion
}

// plan compares the item with what the target holds.
func (d *delivery) plan(ctx context.Context, force bool) error {
	f, err := d.to.Fence(ctx, d.it.ID)
	if err != nil {
		return err
	}
	d.claim = d.it.Fence.Epoch
	switch {
	case len(d.it.Versions) == 0 && d.it.Verdict == survey.Missing && d.it.Fence.Version > 0:
		return d.planBurial(ctx, f, force)
	case len(d.it.Versions) == 0:
		d.r.Outcome = Fenced
		return nil
	}
	same, held, err := d.common(ctx)
	if err != nil {
		return err
	}
	switch {
	case d.plain:
		d.r.Outcome = There
	case same > 0 && same == f.Version:
		at := slices.Index(d.it.Versions, same)
		d.todo = d.it.Versions[at+1:]
		d.r.Outcome = Copied
		if len(d.todo) == 0 {
			d.r.Outcome = There
		}
	case !held:
		d.todo, d.r.Outcome = d.it.Versions, Copied
	default:
		d.todo, d.r.Outcome = d.it.Versions, Replaced
	}
	if d.r.Outcome == There {
		return nil
	}
	if d.r.Outcome == Copied {
		if err = d.permitted(ctx, f); err == nil {
			return nil
		}
		d.todo, d.r.Outcome = d.it.Versions, Replaced
	}
	if !force {
		if err == nil {
			err = ErrOther
		}
		return &refusal{err, f}
	}
	d.above = f.Version
	d.epoch, err = store.Next("epoch", max(f.Epoch, d.it.Fence.Epoch))
	return err
}

// A refusal is a delivery that the target's fence or state forbids.
type refusal struct {
	err   error
	fence survey.Fence
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%v (target's fence: epoch %d, version %d)", r.err, r.fence.Epoch, r.fence.Version)
}
func (r *refusal) Unwrap() error { return r.err }

// Refused reports that the target's state or fence forbids a delivery.
func Refused(err error) bool { return errors.As(err, new(*refusal)) }

// common returns the newest version of the target if it is the same generation
// in the item, and whether the target holds state at all.
func (d *delivery) common(ctx context.Context) (version uint64, held bool, err error) {
	there, err := d.to.LoadState(ctx, d.it.ID)
	switch survey.VerdictOf(err) {
	case survey.OK:
	case survey.Missing, survey.Expired:
		return 0, false, nil
	case survey.Lost, survey.Corrupt, survey.TooNew:
		return 0, true, nil
	default:
		return 0, false, err
	}
	if d.it.Versions[0] == 0 { // a plain value, which got a version on its way
		mine, err := d.it.Load(ctx, 0)
		d.plain = err == nil && equal(mine, there)
		return 0, true, err
	}
	if !slices.Contains(d.it.Versions, there.Version) || there.LastVersion > there.Version {
		return 0, true, nil
	}
	mine, err := d.it.Load(ctx, there.Version)
	if err != nil {
		return 0, true, err
	}
	if !equal(mine, there) || mine.Epoch != there.Epoch {
		return 0, true, nil
	}
	return there.Version, true, nil
}

// permitted applies the save rule to the first generation to be written, which
// has the lowest epoch and version.
func (d *delivery) permitted(ctx context.Context, f survey.Fence) error {
	first, err := d.it.Load(ctx, d.todo[0])
	switch {
	case err != nil:
		return err
	case first.Epoch < f.Epoch:
		return fmt.Errorf("%w: the target was taken over since, or deleted; --force takes it over", durable.ErrFenced)
	case first.Version <= f.Version && first.Version != 0:
		return fmt.Errorf("%w: the target has seen a newer version; --force takes it over", durable.ErrConflict)
	}
	return nil
}

func equal(a, b *durable.Snapshot) bool {
	return bytes.Equal(a.Data, b.Data) && a.Codec == b.Codec && a.Schema == b.Schema
}

func (d *delivery) write(ctx context.Context) error {
	if d.epoch != 0 {
		if err := d.to.ClaimState(ctx, d.it.ID, d.epoch); err != nil {
			return err
		}
	}
	for _, v := range d.todo {
		s, err := d.it.Load(ctx, v)
		if err != nil {
			return err
		}
		if d.epoch != 0 {
			if d.above, err = store.Next("version", d.above); err != nil {
				return err
			}
			s.Epoch, s.Version, s.WriteID = d.epoch, d.above, ""
			if err := d.reseal(s); err != nil {
				return err
			}
		}
		if err := d.to.SaveState(ctx, d.it.ID, s); err != nil {
			return err
		}
		d.r.Written++
		d.r.Bytes += int64(len(s.Data))
	}
	if d.bury {
		if err := d.burial(ctx); err != nil {
			return err
		}
	}
	if d.claim == 0 {
		return nil
	}
	err := d.to.ClaimState(ctx, d.it.ID, d.claim)
	if errors.Is(err, durable.ErrFenced) { // it is higher already
		return nil
	}
	return err
}

// reseal gives the members of a set the epoch and version of the whole, where that
// has new ones.
func (d *delivery) reseal(s *durable.Snapshot) (err error) {
	if survey.IsSet(d.it.ID) {
		s.Data, err = survey.Reseal(s.Data, s.Epoch, s.Version)
	}
	return err
}

// verify reads every generation that the target kept and compares it with the
// item's. The target may keep fewer, never without the newest.
func (d *delivery) verify(ctx context.Context) error {
	if len(d.it.Versions) == 0 {
		return nil
	}
	infos, err := d.to.ListSnapshots(ctx, d.it.ID)
	if err != nil {
		return err
	}
	i := len(d.it.Versions) - 1
	for n, g := range infos {
		if i < 0 {
			break // older ones, from before
		}
		mine, err := d.it.Load(ctx, d.it.Versions[i])
		if err != nil {
			return err
		}
		exact := d.epoch == 0 && mine.Version != 0
		if exact && g.Version < mine.Version { // no history of the item, and none is in the way
			break
		}
		if g.Err != nil {
			return fmt.Errorf("version %d does not verify: %w", g.Version, g.Err)
		}
		there, err := d.to.LoadSnapshot(ctx, d.it.ID, g.Version)
		if err != nil {
			return err
		}
		if d.epoch != 0 {
			mine.Epoch, mine.Version = d.epoch, there.Version
			if err := d.reseal(mine); err != nil {
				return err
			}
		}
		if !equal(mine, there) || exact && (there.Version != mine.Version || there.Epoch != mine.Epoch) {
			return fmt.Errorf("version %d of the target is not version %d of the source (entry %d): somebody else may have saved", g.Version, mine.Version, n+1)
		}
		d.r.Verified++
		i--
	}
	if d.r.Verified == 0 {
		return errors.New("the newest version is not there")
	}
	if left := len(d.it.Versions) - d.r.Verified; left > 0 {
		d.r.Detail = fmt.Sprintf("the target keeps %d generations, %d older ones were left out", d.r.Verified, left)
	}
	return nil
}
