package adaptertest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/durablestate/durable"
)

// answers are the errors that say something about the state or its owner. A
// call that failed for another reason must answer none of them.
var answers = []error{
	durable.ErrNotFound, durable.ErrExpired, durable.ErrLost, durable.ErrCorrupt, durable.ErrTooNew,
	durable.ErrFenced, durable.ErrConflict, durable.ErrLeaseHeld, durable.ErrTooLarge, durable.ErrInvalidID, durable.ErrClosed,
	durable.ErrPermanent,
}

var savedAt = time.Date(2024, 2, 29, 23, 59, 58, 123456789, time.FixedZone("", 5400))

// snap returns a snapshot with every field set. Its WriteID follows from
// everything else, so that equal arguments name the same attempt.
func snap(epoch, version uint64, data string) *durable.Snapshot {
	return &durable.Snapshot{
		Epoch: epoch, Version: version, WriteID: writeID(epoch, version, data),
		Schema: 3, Codec: "json", SavedAt: savedAt, Data: []byte(data),
	}
}

func writeID(epoch, version uint64, data string) string {
	sum := uint64(14695981039346656037) // FNV-1a
	for _, c := range fmt.Appendf(nil, "%d %d %s", epoch, version, data) {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	return fmt.Sprintf("w%016x", sum)
}

// refresh returns the repeat of s that only refreshes.
func refresh(s *durable.Snapshot) *durable.Snapshot {
	n := *s
	n.Data = nil
	return &n
}

func clone(s *durable.Snapshot) *durable.Snapshot {
	n := *s
	n.Data = bytes.Clone(s.Data)
	return &n
}

func (e *env) save(s *durable.Snapshot) error { return e.a.SaveState(e.ctx, e.id, s) }

// saves saves s, which must be accepted, and returns it.
func (e *env) saves(s *durable.Snapshot) *durable.Snapshot {
	e.Helper()
	if err := e.save(s); err != nil {
		e.broken("SaveState of %s: %v", brief(s), err)
	}
	return s
}

// refuses saves s, which must be answered with want and the fence.
func (e *env) refuses(s *durable.Snapshot, want error, epoch, version uint64) {
	e.Helper()
	e.answersFence(fmt.Sprintf("SaveState of %s", brief(s)), e.save(s), want, epoch, version)
}

func (e *env) deletes() {
	e.Helper()
	if err := e.a.DeleteState(e.ctx, e.id); err != nil {
		e.broken("DeleteState: %v", err)
	}
}

// loads loads a snapshot, which must be there.
func (e *env) loads() *durable.Snapshot {
	e.Helper()
	s, err := e.a.LoadState(e.ctx, e.id)
	return e.found("LoadState", s, err)
}

func (e *env) found(call string, s *durable.Snapshot, err error) *durable.Snapshot {
	e.Helper()
	switch {
	case err != nil:
		e.broken("%s: %v", call, err)
	case s == nil:
		e.broken("%s returned (nil, nil): a missing answer must be an error", call)
	}
	return s
}

// holds checks that want is what is stored, up to what a load sets.
func (e *env) holds(want *durable.Snapshot) {
	e.Helper()
	e.same("LoadState", e.loads(), want, want.Version)
}

// fellBack checks that want is loaded although last was accepted after it.
func (e *env) fellBack(want *durable.Snapshot, last uint64) {
	e.Helper()
	e.same("LoadState", e.loads(), want, last)
}

func (e *env) same(call string, got, want *durable.Snapshot, last uint64) {
	e.Helper()
	switch {
	case !bytes.Equal(got.Data, want.Data):
		e.broken("%s returned the data %s instead of %s", call, shorten(got.Data), shorten(want.Data))
	case got.Epoch != want.Epoch || got.Version != want.Version:
		e.broken("%s returned epoch %d, version %d instead of %d, %d", call, got.Epoch, got.Version, want.Epoch, want.Version)
	case got.WriteID != want.WriteID:
		e.broken("%s returned WriteID %q instead of %q", call, got.WriteID, want.WriteID)
	case got.Schema != want.Schema || got.Codec != want.Codec:
		e.broken("%s returned schema %d, codec %q instead of %d, %q", call, got.Schema, got.Codec, want.Schema, want.Codec)
	case !got.SavedAt.Equal(want.SavedAt):
		e.broken("%s returned SavedAt %s instead of %s", call, got.SavedAt, want.SavedAt)
	case got.LastVersion != last:
		e.broken("%s returned LastVersion %d instead of %d, the highest version ever accepted", call, got.LastVersion, last)
	}
}

// missing checks that a load answers want and the fence.
func (e *env) missing(want error, epoch, version uint64) {
	e.Helper()
	s, err := e.a.LoadState(e.ctx, e.id)
	if s != nil && err != nil {
		e.broken("LoadState returned a snapshot together with the error %v", err)
	}
	e.answersFence("LoadState", err, want, epoch, version)
}

// answers checks that err is want and nothing else that has a meaning. ErrPermanent
// may go with any answer: it says that asking again is in vain.
func (e *env) answers(call string, err, want error) {
	e.Helper()
	if err == nil {
		e.broken("%s succeeded instead of answering %q", call, want)
	}
	for _, a := range answers {
		if errors.Is(err, a) != (a == want) && a != durable.ErrPermanent {
			e.broken("%s answered %q instead of %q", call, err, want)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		e.broken("%s answered fs.ErrNotExist, which an unmounted volume answers too: %v", call, err)
	}
}

func (e *env) answersFence(call string, err, want error, epoch, version uint64) {
	e.Helper()
	e.answers(call, err, want)
	var d *durable.Error
	if !errors.As(err, &d) {
		e.broken("%s answered %q without a *durable.Error, which carries the fence (epoch %d, version %d)", call, err, epoch, version)
	}
	if d.Epoch != epoch || d.Version != version {
		e.broken("%s answered the fence (epoch %d, version %d) instead of (%d, %d), in %q", call, d.Epoch, d.Version, epoch, version, err)
	}
}

// failed checks that err is an error that says nothing about state or owner.
func (e *env) failed(call string, err error) {
	e.Helper()
	if err == nil {
		e.broken("%s succeeded", call)
	}
	for _, a := range answers {
		if errors.Is(err, a) {
			e.broken("%s answered %q, which is not what happened", call, err)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		e.broken("%s answered fs.ErrNotExist: %v", call, err)
	}
}

func brief(s *durable.Snapshot) string {
	kind := fmt.Sprintf("%d bytes", len(s.Data))
	if s.Data == nil {
		kind = "nil Data"
	}
	return fmt.Sprintf("epoch %d, version %d, %s", s.Epoch, s.Version, kind)
}

func shorten(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%q... (%d bytes)", b[:40], len(b))
	}
	return fmt.Sprintf("%q", b)
}
