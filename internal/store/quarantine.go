package store

import (
	"context"
	"iter"
)

// A Quarantine is a store that moves bytes which do not verify out of the way of
// later saves. They stay, each content of a component once, until a person removes
// them: no retention and no deletion of the state ends them.
type Quarantine interface {
	// ListDamaged yields their names, in no order.
	ListDamaged(ctx context.Context) iter.Seq2[string, error]
	// ReadDamaged returns them, ErrNotFound if there are none of that name.
	ReadDamaged(ctx context.Context, name string) ([]byte, error)
	// RemoveDamaged removes them, ErrNotFound if there are none of that name.
	RemoveDamaged(ctx context.Context, name string) error
}
