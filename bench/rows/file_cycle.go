package rows

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/bench/measure"
	"github.com/durablestate/durable/bench/state"
)

// fileCycle measures a whole checkpoint cycle over many components in files.
func (b *Bench) fileCycle() error {
	n := b.n(10_000, 50)
	hand, err := b.newDir()
	if err != nil {
		return err
	}
	h := &byHand{}
	for i := range n {
		h.maps = append(h.maps, state.NewMap(state.KB, i))
	}
	loop := func() error {
		for i, m := range h.maps {
			data, err := json.Marshal(m)
			if err != nil {
				return err
			}
			if err := writeDurably(hand, componentID(i), data); err != nil {
				return err
			}
		}
		return nil
	}
	dir, err := b.newDir()
	if err != nil {
		return err
	}
	a, err := durable.NewFileAdapter(dir, nil)
	if err != nil {
		return err
	}
	defer a.Close()
	typed, err := typedFleet(b.ctx, a, "typed", n, state.KB)
	if err != nil {
		return err
	}
	binary, err := binaryFleet(b.ctx, a, "binary", n, state.KB)
	if err != nil {
		return err
	}
	if err := errors.Join(typed.cp.Checkpoint(b.ctx), binary.cp.Checkpoint(b.ctx)); err != nil {
		return err
	}
	const base, part = "json.Marshal(map) + temp, fsync, rename, directory fsync, all, one by one", ", 1 % changed"
	t, err := b.table(fmt.Sprintf("Files, a cycle over %d components of 1 KB (time for each component)", n), true,
		measure.Case{Name: base, Ops: n, Prepare: every(1, h.change), Run: loop},
		measure.Case{Name: oursTyped, Ops: n, Ours: true, Prepare: every(1, typed.change), Run: typed.checkpoint(b.ctx)},
		measure.Case{Name: oursBinary, Ops: n, Ours: true, Prepare: every(1, binary.change), Run: binary.checkpoint(b.ctx)},
		measure.Case{Name: oursBinary + part, Ops: n, Ours: true, Prepare: every(100, binary.change), Run: binary.checkpoint(b.ctx)},
		measure.Case{Name: oursBinary + ", none changed", Ops: n, Ours: true, Run: binary.checkpoint(b.ctx)},
	)
	if err != nil {
		return err
	}
	const against = "json + the protocol by hand"
	b.claim(10, "files, cycle over 10,000 changed components, typed state with MarshalState", 80, against, t.Ratio(base, oursBinary))
	b.claim(10, "… typed state as JSON", 80, against, t.Ratio(base, oursTyped))
	b.claim(10, "… with MarshalState, 1 % changed", 2000, against, t.Ratio(base, oursBinary+part))
	return errors.Join(typed.cp.Close(), binary.cp.Close())
}
