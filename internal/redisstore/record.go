package redisstore

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// A fence is stored as one line with its first fields at fixed places:
//
//	FENCE 2 <epoch> <version> <state> <length> <expires> <quarantined> <sums> <call> <op> <attempt>|<generations>
//
// Sums are until when the older generations live at least, in milliseconds, and
// how many bits of the state are set, where that is known: <13 digits>-<10 digits>
// and '-' up to 40 places. A SHA-1 of the state stood there before.
// Format 1 was a hash; scripts read it, and the next write replaces it.
const (
	fenceMagic  = "FENCE "
	fenceFormat = "2 "
	fenceHead   = 155      // the length of the fields at fixed places
	fenceLimit  = 64 << 10 // more than any fence takes

	maxQuarantined = 9999990000 // scripts count on from there, in ten digits
)

// A record is what the fence of a component says. It has no TTL.
type record struct {
	known       bool // a fence is stored
	fence       store.Fence
	attempt     store.Attempt // that left the state at the state key
	state       string        // "saved", "deleted", "none"
	expires     time.Time     // by the server's clock, zero for never
	quarantined int           // how many bytes were set aside so far
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
	if len(line) > fenceLimit {
		return nil, errFence(fmt.Errorf("it has more than %d bytes", fenceLimit))
	}
	rest, ok := strings.CutPrefix(line, fenceMagic)
	if format, _, found := strings.Cut(rest, " "); ok && found && format+" " != fenceFormat {
		return nil, fmt.Errorf("%w: fence format %q, this program reads up to 2", store.ErrTooNew, format)
	}
	attempt, list, found := strings.Cut(line[min(len(line), fenceHead):], "|")
	if !ok || !found || strings.Contains(list, "|") {
		return nil, errFence(errors.New("it is no fence"))
	}
	if !inPlace(line) {
		return nil, errFence(errors.New("its fields are not at their places"))
	}
	r := &record{known: true, list: list}
	var err error
	if r.fence.Epoch, err = number(line[8:28]); err != nil {
		return nil, errFence(err)
	}
	if r.fence.Version, err = number(line[29:49]); err != nil {
		return nil, errFence(err)
	}
	if r.state, ok = states[line[50]]; !ok {
		return nil, errFence(fmt.Errorf("state %q", line[50]))
	}
	ms, err := strconv.ParseInt(line[63:76], 10, 64)
	if err != nil {
		return nil, errFence(err)
	}
	if r.quarantined, err = strconv.Atoi(line[77:87]); err != nil {
		return nil, errFence(err)
	}
	if r.quarantined > maxQuarantined {
		return nil, errFence(fmt.Errorf("it counts %d values set aside, which no program does", r.quarantined))
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

// inPlace reports that a fence has spaces where its fields at fixed places end, and
// nowhere else in them.
func inPlace(line string) bool {
	ends := [...]int{5, 7, 28, 49, 51, 62, 76, 87, 128, 141, fenceHead - 1}
	for _, at := range ends {
		if line[at] != ' ' {
			return false
		}
	}
	return strings.Count(line[:fenceHead], " ") == len(ends)
}

var states = map[byte]string{'s': "saved", 'd': "deleted", 'n': "none"}

func parseGenerations(list string) (all []generation, err error) {
	if list == "" {
		return nil, nil
	}
	all = make([]generation, 0, 1+strings.Count(list, " "))
	for entry := range strings.FieldsSeq(list) {
		version, rest, _ := strings.Cut(entry, ",")
		writeID, call, ok := strings.Cut(rest, ",")
		if !ok || strings.Contains(call, ",") {
			return nil, errFence(fmt.Errorf("generation %q", entry))
		}
		all = append(all, generation{entry, version, writeID})
	}
	return all, nil
}

func errFence(err error) error {
	return errLasting("the fence of the component is damaged, inspect the key that ends with }:f: %w", err)
}

func parseAttempt(s string) (a store.Attempt, err error) {
	if s == "" {
		return a, nil
	}
	epoch, rest, _ := strings.Cut(s, " ")
	version, writeID, ok := strings.Cut(rest, " ")
	if !ok || strings.Contains(writeID, " ") {
		return a, fmt.Errorf("attempt %q", s)
	}
	if a.Epoch, err = number(epoch); err == nil {
		a.Version, err = number(version)
	}
	a.WriteID = writeID
	return a, err
}

// digits spells n with 20 digits, so that scripts can compare it.
func digits(n uint64) string { return string(envelope.AppendPadded(make([]byte, 0, 20), n, 20)) }

func number(s string) (uint64, error) {
	if len(s) != 20 {
		return 0, fmt.Errorf("%q does not have 20 digits", s)
	}
	return strconv.ParseUint(s, 10, 64)
}

func fenceOf(a answer) store.Fence {
	e, _ := strconv.ParseUint(cmp.Or(a.at(1), "0"), 10, 64)
	v, _ := strconv.ParseUint(cmp.Or(a.at(2), "0"), 10, 64)
	return store.Fence{Epoch: e, Version: v}
}
