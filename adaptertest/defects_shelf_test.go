package adaptertest_test

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/durablestate/durable"
)

// D1 to D10 are the defects found in comparable code that can appear behind the
// interface. A fault is planted by changing what a shelf is told, what it
// answers, or its rows.
var shelfDefects = []defect{
	{"D1 accepts an old version once the key has expired", "load/the fence outlives expiry",
		editing(before, func(r *row) {
			if r.expired {
				r.version = 0
			}
		})},
	{"D1 forgets the TTL of a key written after expiry", "load/a component that expired twice is expired twice",
		shelf(func(sh *Shelf) *immortalAfterExpiry { return &immortalAfterExpiry{Shelf: sh} })},
	{"D2 begins with version 1 again after a delete", "delete/versions continue above the deleted life",
		editing(afterDelete, func(r *row) { r.version = 0 })},
	{"D5 calls every failure a conflict", "context/a call whose context has ended fails, and says nothing about the state",
		answering(func(err error) error {
			if errors.Is(err, context.Canceled) {
				return durable.ErrConflict
			}
			return err
		})},
	{"D7 stores what it then refuses", "save/a version that is not above the fence is refused with ErrConflict",
		shelf(func(sh *Shelf) storesWhatItRefuses { return storesWhatItRefuses{sh} })},
	{"D8 takes what it cannot read for absent", "load/state of which nothing verifies is ErrCorrupt, and stays it",
		answering(instead(durable.ErrCorrupt, durable.ErrNotFound))},
	{"D9 refuses every save after expiry", "load/an expired component can be saved again",
		editing(before, func(r *row) {
			if r.expired {
				r.version = math.MaxUint64 - 1
			}
		})},
	{"D10 counts bad generations when pruning", "load/a generation that does not verify does not count towards retention",
		editing(afterSave, func(r *row) { r.envelopes = r.envelopes[:min(len(r.envelopes), 2)] })},
	{"returns the snapshot it keeps", "load/the caller owns what was loaded",
		shelf(func(sh *Shelf) *liveReferences { return &liveReferences{Shelf: sh} })},
	{"keeps the snapshot it was given", "save/the saved snapshot is not kept",
		shelf(func(sh *Shelf) *keepsItsArgument { return &keepsItsArgument{Shelf: sh} })},
	{"fills in the snapshot it was given", "save/the saved snapshot is not changed",
		shelf(func(sh *Shelf) fillsInItsArgument { return fillsInItsArgument{sh} })},
	{"writes behind the data it was given", "save/the saved snapshot is not changed",
		shelf(func(sh *Shelf) writesBehind { return writesBehind{sh} })},
	{"keeps what it writes again", "save/a repeat of lost state writes it again",
		shelf(func(sh *Shelf) *keepsARepeat { return &keepsARepeat{Shelf: sh} })},
	{"answers nil, nil for absent", "load/what was never saved is ErrNotFound",
		answering(instead(durable.ErrNotFound, nil))},
	{"answers an empty snapshot for absent", "load/what was never saved is ErrNotFound",
		shelf(func(sh *Shelf) emptyForAbsent { return emptyForAbsent{sh} })},
	{"answers fs.ErrNotExist for absent", "load/what was never saved is ErrNotFound",
		answering(instead(durable.ErrNotFound, fs.ErrNotExist))},
	{"answers absent for expired", "load/expired is ErrExpired and not absent",
		answering(instead(durable.ErrExpired, durable.ErrNotFound))},
	{"answers absent for lost", "load/lost is ErrLost and not absent",
		answering(instead(durable.ErrLost, durable.ErrNotFound))},
	{"answers without the fence", "save/an epoch below the fence is refused with ErrFenced",
		answering(func(err error) error { return errors.Unwrap(err) })},
	{"accepts an equal version", "save/a version that is not above the fence is refused with ErrConflict",
		editing(before, func(r *row) { r.version -= min(r.version, 1); r.last = nil })},
	{"knows no epochs", "save/an epoch below the fence is refused with ErrFenced",
		editing(before, func(r *row) { r.epoch = 0 })},
	{"compares in floating point", "save/large epochs and versions are compared exactly",
		editing(before, func(r *row) { r.version = uint64(float64(min(r.version, 1<<62))) - min(r.version, 1) })},
	{"forgets the fence with the state", "load/the fence outlives loss",
		editing(before, func(r *row) {
			if len(r.envelopes) == 0 {
				*r = row{}
			}
		})},
	{"lets the owner go on after a delete", "delete/a delete refuses the running owner",
		editing(afterDelete, func(r *row) { r.epoch-- })},
	{"deletes the newest generation only", "load/a deleted life does not come back through a fallback",
		shelf(func(sh *Shelf) *deletesTheNewest { return &deletesTheNewest{Shelf: sh} })},
	{"deletes by prefix", "delete/a delete leaves other components alone",
		shelf(func(sh *Shelf) deletesByPrefix { return deletesByPrefix{sh} })},
	{"refuses a repeat", "save/the last save again succeeds",
		editing(before, func(r *row) {
			if r.last != nil {
				r.last.WriteID = ""
			}
		})},
	{"writes a repeat again", "save/a repeat writes nothing",
		editing(before, func(r *row) { r.envelopes = nil })},
	{"recognises a repeat although it is fenced", "save/a repeat below a newer epoch is refused with ErrFenced",
		shelf(func(sh *Shelf) *recognisesTooMuch { return &recognisesTooMuch{sh, map[string]bool{}} })},
	{"recognises a repeat although a newer save came", "save/a late repeat after a newer save is refused with ErrConflict",
		shelf(func(sh *Shelf) *recognisesTooMuch { return &recognisesTooMuch{sh, map[string]bool{}} })},
	{"refreshes what has vanished", "save/a refresh of lost state answers ErrLost",
		answeringSave(instead(durable.ErrLost, nil))},
	{"stores nil Data as an empty state", "save/nil Data is never a first save",
		shelf(func(sh *Shelf) nilIsEmpty { return nilIsEmpty{sh} })},
	{"reports the version it fell back to as the last", "load/a corrupt newest generation falls back to the next that verifies",
		shelf(func(sh *Shelf) forgetsTheLastVersion { return forgetsTheLastVersion{sh} })},
	{"drops the time below a second", "save/every field comes back as it was saved",
		shelf(func(sh *Shelf) wholeSeconds { return wholeSeconds{sh} })},
	{"folds case in ids", "ids/ids are kept apart, however alike",
		shelf(func(sh *Shelf) mapsIDs { return mapsIDs{sh, strings.ToLower} })},
	{"cuts long ids", "ids/ids are kept apart, however alike",
		shelf(func(sh *Shelf) mapsIDs { return mapsIDs{sh, func(id string) string { return id[:min(len(id), 250)] }} })},
	{"trims dots and spaces off ids", "ids/ids are kept apart, however alike",
		shelf(func(sh *Shelf) mapsIDs {
			return mapsIDs{sh, func(id string) string { return "x" + strings.TrimRight(id, ". ") }}
		})},
	{"escapes ids so that two become one", "ids/ids are kept apart, however alike",
		shelf(func(sh *Shelf) mapsIDs {
			return mapsIDs{sh, func(id string) string { return strings.ReplaceAll(id, "/", "%2f") }}
		})},
	{"accepts any id", "ids/an invalid id is refused by every method with ErrInvalidID",
		shelf(func(sh *Shelf) mapsIDs {
			return mapsIDs{sh, func(id string) string { return "x" + strings.ToValidUTF8(strings.Trim(id, "\x00\n"), "") }}
		})},
	{"judges and writes in two steps", "concurrency/of many writers of one version exactly one wins",
		shelf(func(sh *Shelf) judgesFirst { return judgesFirst{sh} })},
	{"gives up when a filled-in version is refused", "concurrency/writers that leave the version open all succeed, each with its own version",
		shelf(func(sh *Shelf) givesUp { return givesUp{sh} })},
	{"publishes a save before it is complete", "concurrency/readers see whole states that never go backwards",
		shelf(func(sh *Shelf) *tears { return &tears{Shelf: sh} })},
	{"closes once only", "close/closing again does nothing",
		shelf(func(sh *Shelf) closesOnce { return closesOnce{sh} })},
	{"goes on after Close", "close/after Close every method answers ErrClosed",
		shelf(func(sh *Shelf) neverCloses { return neverCloses{sh} })},
}

// moment says when a row is edited.
type immortalAfterExpiry struct {
	*Shelf
	immortal bool
}

func (d *immortalAfterExpiry) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	d.row(id, func(r *row) { d.immortal = d.immortal || r.expired })
	return d.Shelf.SaveState(ctx, id, s)
}

type storesWhatItRefuses struct{ *Shelf }

func (d storesWhatItRefuses) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	err := d.Shelf.SaveState(ctx, id, s)
	if errors.Is(err, durable.ErrConflict) {
		b, _ := durable.EncodeSnapshot(id, s)
		d.row(id, func(r *row) { r.envelopes[0] = b })
	}
	return err
}

type liveReferences struct {
	*Shelf
	mu     sync.Mutex
	cached map[string]*durable.Snapshot
}

func (d *liveReferences) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.Shelf.LoadState(ctx, id)
	if err != nil {
		return nil, err
	}
	if c := d.cached[id]; c != nil && c.WriteID == s.WriteID {
		return c, nil
	}
	d.cached = map[string]*durable.Snapshot{id: s}
	return s, nil
}

type keepsItsArgument struct {
	*Shelf
	kept *durable.Snapshot
}

func (d *keepsItsArgument) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	d.kept = s
	return d.Shelf.SaveState(ctx, id, s)
}

func (d *keepsItsArgument) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	s, err := d.Shelf.LoadState(ctx, id)
	if err == nil && d.kept != nil {
		s.Data = d.kept.Data
	}
	return s, err
}

type writesBehind struct{ *Shelf }

func (d writesBehind) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	_ = append(s.Data, "sum"...)
	return d.Shelf.SaveState(ctx, id, s)
}

// keepsARepeat keeps the data of the attempt that comes again.
type keepsARepeat struct {
	*Shelf
	last string
	kept []byte
}

func (d *keepsARepeat) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if d.last == s.WriteID && s.Data != nil {
		d.kept = s.Data
	}
	d.last = s.WriteID
	return d.Shelf.SaveState(ctx, id, s)
}

func (d *keepsARepeat) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	s, err := d.Shelf.LoadState(ctx, id)
	if err == nil && d.kept != nil {
		s.Data = d.kept
	}
	return s, err
}

type fillsInItsArgument struct{ *Shelf }

func (d fillsInItsArgument) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if s.SavedAt.IsZero() {
		s.SavedAt = time.Now()
	}
	return d.Shelf.SaveState(ctx, id, s)
}

type emptyForAbsent struct{ *Shelf }

func (d emptyForAbsent) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	s, err := d.Shelf.LoadState(ctx, id)
	if errors.Is(err, durable.ErrNotFound) {
		return &durable.Snapshot{Data: []byte{}}, nil
	}
	return s, err
}

type deletesTheNewest struct {
	*Shelf
	old [][]byte
}

func (d *deletesTheNewest) DeleteState(ctx context.Context, id string) error {
	d.row(id, func(r *row) { d.old = slices.Clone(r.envelopes[min(len(r.envelopes), 1):]) })
	return d.Shelf.DeleteState(ctx, id)
}

func (d *deletesTheNewest) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	err := d.Shelf.SaveState(ctx, id, s)
	d.row(id, func(r *row) { r.envelopes = append(r.envelopes, d.old...) })
	return err
}

type deletesByPrefix struct{ *Shelf }

func (d deletesByPrefix) DeleteState(ctx context.Context, id string) error {
	d.mu.Lock()
	for other, r := range d.rows {
		if strings.HasPrefix(other, id) {
			r.envelopes = nil
		}
	}
	d.mu.Unlock()
	return d.Shelf.DeleteState(ctx, id)
}

type recognisesTooMuch struct {
	*Shelf
	accepted map[string]bool
}

func (d *recognisesTooMuch) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if d.accepted[s.WriteID] {
		return nil
	}
	err := d.Shelf.SaveState(ctx, id, s)
	d.accepted[s.WriteID] = err == nil
	return err
}

type nilIsEmpty struct{ *Shelf }

func (d nilIsEmpty) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	n := *s
	if n.Data == nil {
		n.Data = []byte{}
	}
	return d.Shelf.SaveState(ctx, id, &n)
}

type forgetsTheLastVersion struct{ *Shelf }

func (d forgetsTheLastVersion) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	s, err := d.Shelf.LoadState(ctx, id)
	if err == nil {
		s.LastVersion = s.Version
	}
	return s, err
}

type wholeSeconds struct{ *Shelf }

func (d wholeSeconds) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	s, err := d.Shelf.LoadState(ctx, id)
	if err == nil {
		s.SavedAt = s.SavedAt.Truncate(time.Second)
	}
	return s, err
}

// mapsIDs makes one id of two.
type mapsIDs struct {
	*Shelf
	to func(string) string
}

func (d mapsIDs) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	return d.Shelf.SaveState(ctx, d.to(id), s)
}

func (d mapsIDs) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	return d.Shelf.LoadState(ctx, d.to(id))
}

func (d mapsIDs) DeleteState(ctx context.Context, id string) error {
	return d.Shelf.DeleteState(ctx, d.to(id))
}

type judgesFirst struct{ *Shelf }

func (d judgesFirst) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	admitted := false
	d.row(id, func(r *row) { admitted = s.Version > r.version })
	if !admitted {
		return d.Shelf.SaveState(ctx, id, s)
	}
	time.Sleep(5 * time.Millisecond)
	d.row(id, func(r *row) { _ = r.put(id, clone(s)) })
	return nil
}

func clone(s *durable.Snapshot) *durable.Snapshot { n := *s; return &n }

type givesUp struct{ *Shelf }

func (d givesUp) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	n := clone(s)
	d.row(id, func(r *row) { n.Version = r.version + 1 })
	time.Sleep(time.Millisecond)
	return d.Shelf.SaveState(ctx, id, n)
}

type tears struct {
	*Shelf
	half sync.Map
}

func (d *tears) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	d.half.Store(id, true)
	defer d.half.Delete(id)
	err := d.Shelf.SaveState(ctx, id, s)
	time.Sleep(time.Millisecond)
	return err
}

func (d *tears) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	s, err := d.Shelf.LoadState(ctx, id)
	if _, half := d.half.Load(id); half && err == nil {
		s.Data = s.Data[:len(s.Data)/2]
	}
	return s, err
}

type closesOnce struct{ *Shelf }

func (d closesOnce) Close() error {
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return durable.ErrClosed
	}
	return d.Shelf.Close()
}

type neverCloses struct{ *Shelf }

func (d neverCloses) Close() error { return nil }
