package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// leaseBody is the payload of a lease record, an envelope of kind Lease.
type leaseBody struct {
	Holder   string `json:"holder"`
	TTL      int64  `json:"ttl_ms"`
	Expires  int64  `json:"expires_ms"`
	Released bool   `json:"released,omitempty"`
}

// A leaseView is a lease as the server stores it, with the server's clock.
type leaseView struct {
	raw   string
	lease *store.Lease // nil for none
	now   time.Time
}

// AcquireLease implements store.Store.
func (s *Store) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration, atLeast uint64) (*store.Lease, error) {
	return s.changeLease(ctx, name, func(v *leaseView) (*store.Lease, error) {
		return store.TakeLease(v.lease, false, name, holder, ttl, atLeast, v.now)
	})
}

// RenewLease implements store.Store.
func (s *Store) RenewLease(ctx context.Context, l *store.Lease) (*store.Lease, error) {
	return s.changeLease(ctx, l.Name, func(v *leaseView) (*store.Lease, error) {
		if v.lease == nil {
			s.acked.lose()
		}
		return store.RenewedLease(v.lease, l, v.now)
	})
}

// ReleaseLease implements store.Store.
func (s *Store) ReleaseLease(ctx context.Context, l *store.Lease) (*store.Lease, error) {
	return s.changeLease(ctx, l.Name, func(v *leaseView) (*store.Lease, error) {
		return store.ReleasedLease(v.lease, l, v.now)
	})
}

// LoadLease implements store.Store.
func (s *Store) LoadLease(ctx context.Context, name string) (*store.Lease, error) {
	ctx, cancel := bound(ctx, loadTime, 0)
	defer cancel()
	v, _, err := s.lease(ctx, name, "", "")
	if err != nil {
		return nil, err
	}
	if v.lease == nil {
		return nil, store.ErrNotFound
	}
	return v.lease, nil
}

// changeLease puts what decide returns in the place of the record that it was
// shown. The records are unique, so a late copy of the change finds another one
// and does nothing.
func (s *Store) changeLease(ctx context.Context, name string, decide func(*leaseView) (*store.Lease, error)) (*store.Lease, error) {
	ctx, cancel := bound(ctx, saveTime, 0)
	defer cancel()
	v, _, err := s.lease(ctx, name, "", "")
	for {
		if err != nil {
			return nil, err
		}
		n, err1 := decide(v)
		if err1 != nil {
			return nil, err1
		}
		raw, err1 := encodeLease(n)
		if err1 != nil {
			return nil, err1
		}
		old, done := v.raw, false
		if v, done, err = s.lease(ctx, name, old, raw); done {
			return n, err // stored, if perhaps below the level
		}
	}
}

// lease runs the script: it replaces the record old by raw, or only reads when
// raw is empty. done tells that raw is stored now.
func (s *Store) lease(ctx context.Context, name, old, raw string) (v *leaseView, done bool, err error) {
	key := s.leaseKey(name)
	a, err := s.ask(ctx, new(doubt), func() *job {
		return &job{script: leaseScript, keys: [3]string{key}, args: []any{old, raw}, durable: raw != "", owns: true, size: len(old) + len(raw)}
	})
	if !store.IsStored(err) {
		return nil, false, err
	}
	short := err
	ms, err := strconv.ParseInt(a.at(2), 10, 64)
	if err != nil {
		return nil, false, errAnswer(a)
	}
	v = &leaseView{raw: a.at(1), now: time.UnixMilli(ms)}
	v.lease, err = decodeLease(name, v.raw)
	return v, a.code() == "OK" && raw != "" && err == nil, cmp.Or(err, short)
}

func encodeLease(l *store.Lease) (string, error) {
	body, err := json.Marshal(leaseBody{l.Holder, l.TTL.Milliseconds(), l.Expires.UnixMilli(), l.Released})
	if err != nil {
		return "", err
	}
	rec := &envelope.Record{ID: l.Name, Kind: envelope.Lease,
		Snapshot: store.Snapshot{Epoch: l.Epoch, WriteID: name(), Codec: "json", SavedAt: time.Now(), Data: body}}
	b, err := envelope.Append(nil, rec)
	return string(b), err
}

// decodeLease reads a record. One that does not verify counts as lost: whoever
// takes the lease gets an epoch above every one handed out before, so a holder
// that is still there is fenced.
func decodeLease(name, raw string) (*store.Lease, error) {
	if raw == "" {
		return nil, nil
	}
	r, n, err := envelope.Parse([]byte(raw))
	if errors.Is(err, store.ErrTooNew) {
		return nil, err
	}
	var body leaseBody
	if err != nil || n != len(raw) || r.Kind != envelope.Lease || r.ID != name || json.Unmarshal(r.Data, &body) != nil {
		return nil, nil
	}
	return &store.Lease{Name: name, Holder: body.Holder, Epoch: r.Epoch, Released: body.Released,
		TTL: time.Duration(body.TTL) * time.Millisecond, Expires: time.UnixMilli(body.Expires)}, nil
}
