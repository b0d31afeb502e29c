package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strconv"
	"strings"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

// part is a component of any program: it takes its state and lets it go.
type part struct {
	bytes int64
	own   error // why its own state is not what it says it is
	inSet error // the same of its state in the set
}

func (*part) SnapshotState() ([]byte, error) { return []byte{}, nil }

func (p *part) RestoreState(data []byte) error {
	p.bytes = int64(len(data))
	return nil
}

var errNoJSON = errors.New("the state is not the JSON that it says it is")

func content(codec string, data []byte) error {
	if codec == "json" && !json.Valid(data) {
		return errNoJSON
	}
	return nil
}

// rehearsal is an adapter that reads the components of one system from a store and
// saves nothing.
type rehearsal struct {
	s     *survey.Store
	dir   string            // what the ids of the system begin with
	names map[string]string // ids that cannot be registered, by others that can
	parts map[string]*part  // by the id that is registered
	set   uint64            // version of the set
	bar   *ui.Progress
}

// add registers a component with the Checkpointer. One whose id no program could
// register goes by a number.
func (r *rehearsal) add(cp *durable.Checkpointer, id string) (registered string, err error) {
	p := &part{}
	registered = strings.TrimPrefix(id, r.dir)
	if registered == "" || strings.HasPrefix(registered, "~") {
		name := registered
		registered = "\u2060" + strconv.Itoa(len(r.names))
		r.names[registered] = name
	}
	r.parts[registered] = p
	return registered, cp.Register(registered, p)
}

func (r *rehearsal) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	p := r.parts[id]
	if p == nil && !survey.IsSet(id) {
		return nil, durable.ErrNotFound // ~starts
	}
	name, ok := r.names[id]
	if !ok {
		name = id
	}
	snap, err := r.s.LoadState(ctx, r.dir+name)
	if v := survey.VerdictOf(err); v == survey.Unreadable {
		return nil, &unreadable{err}
	} else if err != nil {
		return nil, err
	}
	if p == nil {
		snap.Data, err = r.open(snap)
		return snap, err
	}
	r.bar.Step(int64(len(snap.Data)))
	p.own = content(snap.Codec, snap.Data)
	snap.Schema = 0 // only the program knows how to migrate
	return snap, nil
}

// open looks at the members of a set and returns its state without their schemas.
// A set that does not read as one stays as it is.
func (r *rehearsal) open(snap *durable.Snapshot) ([]byte, error) {
	r.set = snap.Version
	members, err := survey.Members(snap.Data)
	if err != nil {
		return snap.Data, nil
	}
	var data []byte
	for i := range members {
		m := &members[i]
		raw := m.Raw
		if p := r.parts[m.ID]; p != nil && m.Err == nil && !m.Deleted {
			p.inSet = content(m.Codec, m.Data)
			r.bar.Step(int64(len(m.Data)))
			m.Schema = 0
			if raw, err = durable.EncodeSnapshot(m.ID, &m.Snapshot); err != nil {
				return nil, err
			}
		}
		data = append(data, raw...)
	}
	return append([]byte{}, data...), nil
}

func (r *rehearsal) SaveState(context.Context, string, *durable.Snapshot) error {
	return errors.New("a drill saves nothing")
}

func (r *rehearsal) DeleteState(context.Context, string) error {
	return errors.New("a drill deletes nothing")
}

func (r *rehearsal) Close() error { return nil }

// unreadable is a failure to read that a Restore does not wait for: a drill says
// what it met.
type unreadable struct{ error }

func (u *unreadable) Unwrap() error { return u.error }

func (u *unreadable) Is(target error) bool { return target == durable.ErrClosed }

// rehearse restores the components of one system through a Checkpointer, on an
// adapter that only reads, and adds what became of them to d.
func (d *drilled) rehearse(ctx context.Context, r *rehearsal, ids []string) error {
	cp := durable.New(r, &durable.Options{LeaseTTL: -1, Restore: durable.FreshIfAbsent, Logger: slog.New(slog.DiscardHandler)})
	full := map[string]string{}
	for _, id := range ids {
		registered, err := r.add(cp, id)
		if err != nil {
			return fmt.Errorf("%q: %w", id, err)
		}
		full[registered] = id
	}
	report, err := cp.Restore(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(report.Results) != len(ids) {
		return err
	}
	for _, res := range report.Results {
		d.take(r, full[res.ComponentID], res)
	}
	return nil
}

// take counts one result.
func (d *drilled) take(r *rehearsal, id string, res durable.RestoreResult) {
	p := r.parts[res.ComponentID]
	d.Components++
	d.Bytes += p.bytes
	d.Oldest = max(d.Oldest, res.Age.Seconds())
	wrong := p.own
	if r.set > 0 && res.Version == r.set {
		wrong = p.inSet // no version is used in both places
	}
	if wrong != nil && (res.Outcome == durable.Restored || res.Outcome == durable.FellBack) {
		res.Outcome, res.Err = durable.Rejected, wrong
	}
	if _, ok := d.later[id]; ok {
		d.spilled(id)
		return
	}
	d.Outcomes[string(res.Outcome)]++
	if res.Outcome == durable.Restored {
		d.Restored++
		return
	}
	problem := restoreResult{id, string(res.Outcome), res.Version, ""}
	switch {
	case res.Err != nil:
		problem.Detail = detail(res.Err)
	case len(res.Skipped) > 0:
		problem.Detail = fmt.Sprintf("versions %v do not verify", res.Skipped)
	case res.Outcome == durable.FirstBoot:
		problem.Detail = "its set, or it in the set, was deleted after this state was saved: it starts fresh"
	}
	d.Problems = append(d.Problems, problem)
}

// bySystem groups ids by what they begin with, up to the last slash.
func bySystem(ids []string) (dirs []string, groups map[string][]string) {
	groups = map[string][]string{}
	for _, id := range ids {
		dir, _ := path.Split(id)
		if groups[dir] == nil {
			dirs = append(dirs, dir)
		}
		groups[dir] = append(groups[dir], id)
	}
	return dirs, groups
}
