package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/durablestate/durable/internal/store"
)

// A fence is stored as one line with its first fields at fixed places:
//
//	FENCE 2 <epoch> <version> <state> <length> <expires> <quarantined> <sha1> <call> <op> <attempt>|<generations>
//
// Format 1 was a hash; scripts read it, and the next write replaces it.
const (
	fenceMagic  = "FENCE "
	fenceFormat = "2 "
	fenceHead   = 155      // the length of the fields at fixed places
	fenceLimit  = 64 << 10 // more than any fence takes
)

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

// parseRecord reads the line of a fence, "" for none. It never takes a record it
// does not understand for a missing one.
func parseRecord(line string) (*record, error) {
	if line == "" {
		return &record{state: "none"}, nil
	}
	rest, ok := strings.CutPrefix(line, fenceMagic)
	if format, _, found := strings.Cut(rest, " "); ok && found && format+" " != fenceFormat {
		return nil, fmt.Errorf("%w: fence format %q, this program reads up to 2", store.ErrTooNew, format)
	}
	attempt, list, found := strings.Cut(line[min(len(line), fenceHead):], "|")
	if !ok || !found || strings.Contains(list, "|") {
		return nil, errFence(errors.New("it is no fence"))
	}
	r := &record{known: true, list: list}
	f := strings.Split(line[:fenceHead-1], " ")
	if len(f) != 11 {
		return nil, errFence(fmt.Errorf("it has %d fields instead of 11", len(f)))
	}
	var err error
	if r.fence.Epoch, err = number(f[2]); err != nil {
		return nil, errFence(err)
	}
	if r.fence.Version, err = number(f[3]); err != nil {
		return nil, errFence(err)
	}
	if r.state, ok = states[f[4]]; !ok {
		return nil, errFence(fmt.Errorf("state %q", f[4]))
	}
	ms, err := strconv.ParseInt(f[6], 10, 64)
	if err != nil {
		return nil, errFence(err)
	}
	if ms != 0 {
		r.expires = time.UnixMilli(ms)
	}
	if r.attempt, err = parseAttempt(attempt); err != nil {
		return nil, errFence(err)
	}
	r.generations, err = parseGenerations(list)
	return r, err
}

var states = map[string]string{"s": "saved", "d": "deleted", "n": "none"}

func parseGenerations(list string) (all []generation, err error) {
	for entry := range strings.FieldsSeq(list) {
		p := strings.Split(entry, ",")
		if len(p) != 3 {
			return nil, errFence(fmt.Errorf("generation %q", entry))
		}
		all = append(all, generation{entry, p[0], p[1]})
	}
	return all, nil
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
func digits(n uint64) string {
	var b [40]byte
	s := strconv.AppendUint(append(b[:0], "0000000000000000000"...), n, 10)
	return string(s[len(s)-20:])
}

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
