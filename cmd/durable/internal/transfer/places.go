package transfer

import (
	"context"
	"errors"
	"sync"

	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/internal/store"
)

// ErrPlaces: the target holds a component in another place than the item, by itself
// or in a set, and a restart might take that.
var ErrPlaces = errors.New("the target holds state of these components in another place, by itself or in a set, and a restart might take that; bring them into an empty store")

// A Standing is how far a component has come in one store.
type Standing struct {
	Fence          survey.Fence
	Epoch, Version uint64 // of the newest state, zero when there is none
}

// A Source tells how far a component has come there; zero: it is not there.
type Source func(ctx context.Context, id string) (Standing, error)

// StandingIn asks a store.
func StandingIn(ctx context.Context, s *survey.Store, id string) (Standing, error) {
	f, err := s.Fence(ctx, id)
	if err != nil || f.Version == 0 {
		return Standing{Fence: f}, err
	}
	snap, err := s.LoadState(ctx, id)
	if survey.VerdictOf(err) == survey.Unreadable {
		return Standing{}, err
	} else if err != nil || snap.Codec == buried {
		return Standing{Fence: f}, nil
	}
	return Standing{f, snap.Epoch, snap.Version}, nil
}

// Places knows where the sets of source and target stand, which every component of
// their systems asks for. It is safe for concurrent use.
type Places struct {
	source Source
	mu     sync.Mutex
	sets   map[string]*standings
}

// standings is where a component stands in both stores.
type standings struct{ source, target Standing }

// NewPlaces returns the places of a source.
func NewPlaces(source Source) *Places {
	return &Places{source: source, sets: map[string]*standings{}}
}

// set returns where a set stood before anything was delivered.
func (p *Places) set(ctx context.Context, to *survey.Store, id string) (*standings, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.sets[id]; b != nil {
		return b, nil
	}
	b, err := p.both(ctx, to, id)
	if err == nil {
		p.sets[id] = b
	}
	return b, err
}

func (p *Places) both(ctx context.Context, to *survey.Store, id string) (*standings, error) {
	source, err := p.source(ctx, id)
	if err != nil {
		return nil, err
	}
	target, err := StandingIn(ctx, to, id)
	return &standings{source, target}, err
}

// same reports that both have the same state, whoever has claimed it since.
func (b *standings) same() bool {
	x, y := b.source, b.target
	return x.Fence.Version == y.Fence.Version && x.Epoch == y.Epoch && x.Version == y.Version
}

// known reports that what the target has there is what the source has, or an
// earlier part of it, so that both say the same of what is newer.
func (b *standings) known() bool {
	return b.target.Fence.Version == 0 || b.same() || b.target.Fence.Version < b.source.Fence.Version && b.target.Epoch <= b.source.Epoch
}

// agree refuses a delivery after which a restart might take another state than it
// would from the source.
func (d *delivery) agree(ctx context.Context, p *Places) error {
	if p == nil || survey.Internal(d.it.ID) {
		return nil
	}
	set, err := p.set(ctx, d.to, survey.SetOf(d.it.ID))
	if err != nil {
		return err
	}
	others := []*standings{set}
	if survey.IsSet(d.it.ID) {
		if others, err = d.members(ctx, p); err != nil {
			return err
		}
	}
	for _, o := range others {
		if d.conflicts(o) {
			return &refusal{ErrPlaces, o.target.Fence}
		}
		if d.epoch > 0 {
			epoch, err := store.Next("epoch", o.target.Fence.Epoch)
			if err != nil {
				return err
			}
			d.epoch, d.above = max(d.epoch, epoch), max(d.above, o.target.Fence.Version)
		}
	}
	return nil
}

// conflicts judges another place. One that the source has as well is an item of
// its own, which is judged when its turn comes.
func (d *delivery) conflicts(o *standings) bool {
	switch d.r.Outcome {
	case There:
		return o.source.Fence.Version == 0 && o.target.Fence.Version > 0
	case Replaced:
		return !d.mayOutrank(o)
	}
	return !o.known()
}

// mayOutrank reports that the item may get a new epoch and new versions beside
// another place: nothing was ever there, or it is the same in source and target and
// older than the item. The fences tell, because who saves in one place takes
// versions above those of the other.
func (d *delivery) mayOutrank(o *standings) bool {
	nothing := o.source.Fence.Version == 0 && o.target.Fence.Version == 0
	return nothing || o.same() && o.source.Fence.Version < d.it.Fence.Version
}

// members returns where the components of a set stand by themselves.
func (d *delivery) members(ctx context.Context, p *Places) ([]*standings, error) {
	ids := map[string]bool{}
	there := d.to.Set(ctx, d.it.ID)
	for i := range there.Members {
		ids[there.Full(&there.Members[i])] = true
	}
	if n := len(d.it.Versions); n > 0 {
		newest, err := d.it.Load(ctx, d.it.Versions[n-1])
		if err != nil {
			return nil, err
		}
		list, _ := survey.Members(newest.Data) // behind what cannot be read nothing can be restored either
		for i := range list {
			ids[there.Full(&list[i])] = true
		}
	}
	var all []*standings
	for id := range ids {
		b, err := p.both(ctx, d.to, id)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}
