package redisstore

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/durablestate/durable/internal/store"
)

// recordFields are the fields of the fence that a load needs, in the order of record.
var recordFields = []string{"format", "epoch", "version", "attempt", "state", "expires", "generations"}

// A record is what the fence of a component says. It has no TTL.
type record struct {
	known       bool // a fence is stored
	fence       store.Fence
	attempt     store.Attempt // that left the state at the state key
	state       string        // "saved", "deleted", "none"
	expires     time.Time     // by the server's clock, zero for never
	list        string        // the older generations as stored
	generations []generation  // the same, newest first
}

// A generation is an older state. The zero version is one that a plain writer left.
type generation struct{ entry, version, writeID string }

func (r *record) saved() bool { return r.state == "saved" }

// parseRecord reads recordFields. It never takes a record it does not
// understand for a missing one.
func parseRecord(f []string) (*record, error) {
	r := &record{known: f[0] != "", state: f[4], list: f[6]}
	if r.known && f[0] != "1" {
		return nil, fmt.Errorf("%w: fence format %q, this program reads 1", store.ErrTooNew, f[0])
	}
	var err error
	if r.fence.Epoch, err = number(f[1]); err != nil {
		return nil, errFence(err)
	}
	if r.fence.Version, err = number(f[2]); err != nil {
		return nil, errFence(err)
	}
	if r.attempt, err = parseAttempt(f[3]); err != nil {
		return nil, errFence(err)
	}
	ms, err := strconv.ParseInt(f[5], 10, 64)
	if err != nil {
		return nil, errFence(err)
	}
	if ms != 0 {
		r.expires = time.UnixMilli(ms)
	}
	for _, entry := range strings.Fields(f[6]) {
		p := strings.Split(entry, ",")
		if len(p) != 3 {
			return nil, errFence(fmt.Errorf("generation %q", entry))
		}
		r.generations = append(r.generations, generation{entry, p[0], p[1]})
	}
	return r, nil
}

func errFence(err error) error {
	return fmt.Errorf("the fence of the component is damaged, inspect the key that ends with }:f: %w", err)
}

func parseAttempt(s string) (a store.Attempt, err error) {
	if s == "" {
		return a, nil
	}
	f := strings.Split(s, " ")
	if len(f) != 3 {
		return a, fmt.Errorf("attempt %q", s)
	}
	if a.Epoch, err = number(f[0]); err == nil {
		a.Version, err = number(f[1])
	}
	a.WriteID = f[2]
	return a, err
}

// digits spells n with 20 digits, so that scripts can compare it.
func digits(n uint64) string { return fmt.Sprintf("%020d", n) }

func number(s string) (uint64, error) {
	if len(s) != 20 {
		return 0, fmt.Errorf("%q does not have 20 digits", s)
	}
	return strconv.ParseUint(s, 10, 64)
}

func fenceOf(a answer) store.Fence {
	e, _ := number(a.at(1))
	v, _ := number(a.at(2))
	return store.Fence{Epoch: e, Version: v}
}
