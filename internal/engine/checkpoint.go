package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/durablestate/durable/internal/engine/component"
	"github.com/durablestate/durable/internal/engine/flight"
)

// Checkpoint saves the named components, or all.
func (e *Engine) Checkpoint(ctx context.Context, ids ...string) error {
	if e.invalid != nil {
		return e.invalid
	}
	members := e.registry.all()
	if len(ids) > 0 || e.registry.members.Load() == 0 { // then there is nobody, nor a set
		chosen, err := e.registry.choose(ids)
		if err != nil {
			return err
		}
		members = slices.Values(chosen)
	}
	var errs []error
	var waited *flight.Flight
	var err error
	var late unfinished
	for _, u := range e.request(members) {
		told := u.flight == waited // that of a set is everybody's
		if !told {
			err, waited = u.flight.Wait(ctx), u.flight
		}
		switch {
		case !u.life.Goes(u.Life()):
			errs = append(errs, e.fault("save", u.ID(), component.Replaced(err)))
		case err != nil && !u.flight.Over():
			late.add(u.ID())
		case err != nil && !told:
			errs = append(errs, err)
		}
	}
	if late.n > 0 {
		errs = append(errs, e.fault("save", "", fmt.Errorf("%s not finished: %w", late.String(), ctx.Err())))
	}
	return errors.Join(errs...)
}

// unfinished names components whose saves had not come to an end, some of them.
type unfinished struct {
	n   int
	ids []string
}

// mostNamed is how many are named.
const mostNamed = 10

func (u *unfinished) add(id string) {
	if u.n++; u.n <= mostNamed {
		u.ids = append(u.ids, strconv.Quote(id))
	}
}

func (u *unfinished) String() string {
	s := strings.Join(u.ids, ", ")
	if more := u.n - len(u.ids); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// underWay is a member and the flight that saves what it was in that life.
type underWay struct {
	*member
	life   component.Life
	flight *flight.Flight
}

// request asks for the saves of members that are needed, in one go, so that they
// share commits. Of a consistent set all are saved.
func (e *Engine) request(members iter.Seq[*member]) (list []underWay) {
	now := time.Now()
	if e.opts.Consistent {
		for m := range e.registry.all() {
			list = append(list, underWay{member: m, life: m.Life()})
		}
		if e.set.Saver.Current(now) {
			return nil
		}
		f := e.set.Saver.Request()
		for i := range list {
			list[i].flight = f
		}
		return list
	}
	for m := range members {
		life := m.Life()
		if !m.own.Current(now) {
			list = append(list, underWay{m, life, m.own.Request()})
		}
	}
	return list
}
