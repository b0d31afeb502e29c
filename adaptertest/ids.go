package adaptertest

import (
	"context"
	"fmt"
	"strings"

	"github.com/durablestate/durable"
)

var idRules = []rule{
	{"an invalid id is refused by every method with ErrInvalidID",
		"check the id first: 1 to 255 bytes of valid UTF-8 without control characters",
		func(e *env) {
			for _, id := range []string{"", "a\x00b", "a\nb", "tab\t", "\x7f", "\u0085", "bad\xff", "\xc3", strings.Repeat("i", 256)} {
				for _, c := range stateCalls(e.a, id) {
					e.answers(fmt.Sprintf("%s of the id %q", c.name, id), c.do(e.ctx), durable.ErrInvalidID)
				}
			}
		}},
	{"ids are kept apart, however alike",
		"escape what the store cannot hold or folds together (case, unicode normalisation, separators, patterns, reserved names, trailing dots and spaces), injectively",
		func(e *env) {
			ids := e.awkwardIDs()
			for _, id := range ids {
				e.of(id).saves(&durable.Snapshot{Codec: "text", Data: []byte(e.id + " " + id)})
			}
			for _, id := range ids {
				e.belongs(id)
			}
		}},
	{"ids are deleted apart, however alike",
		"delete exactly one id: no pattern, no prefix, no folding",
		func(e *env) {
			ids := e.awkwardIDs()
			for _, id := range ids {
				e.of(id).saves(&durable.Snapshot{Codec: "text", Data: []byte(e.id + " " + id)})
			}
			for i, id := range ids {
				e.of(id).deletes()
				if s, err := e.a.LoadState(e.ctx, id); err == nil {
					e.broken("after DeleteState of %q it still holds %s", id, shorten(s.Data))
				}
				if i+1 < len(ids) {
					e.belongs(ids[i+1])
				}
			}
		}},
	{"an id of 255 bytes works",
		"shorten long names injectively where the store's names are shorter (a file name that percent-encodes 255 bytes does not fit)",
		func(e *env) {
			e = e.of(longID(e.id, "日本語", ""))
			e.holds(e.saves(snap(1, 1, "long")))
			e.deletes()
			e.missing(durable.ErrNotFound, 2, 1)
		}},
}

// belongs checks that id holds what was saved under exactly that id.
func (e *env) belongs(id string) {
	e.Helper()
	if got, want := e.of(id).loads().Data, e.id+" "+id; string(got) != want {
		e.broken("the id %q holds %q instead of %q", id, got, want)
	}
}

// awkwardIDs returns ids that stores are known to mix up. Some begin with e.id
// and some cannot, because it is the whole name that is special.
func (e *env) awkwardIDs() []string {
	ids := []string{
		".", "..", "...", "/", "//", "-", "--", "~", "~set", "%", "%%", "%2f", "*", "?", "[a]", "{}", "{", "}", "{a}b",
		"CON", "con", "nul", "aux.txt", "COM1", "LOCK", "lost+found", " ", "$x", "${HOME}", `\`, `\\`, "'", `"`, ";",
		"\ufffd", "\u200b", "\ufeff", "\U0001f600", "null", "0", "00", "-1",
	}
	for _, family := range [][]string{
		{"case", "Case", "CASE", "ſ", "s", "S", "\u212a", "k", "K", "i", "I", "ı", "İ", "ß", "ss"},
		{"\u00e9", "e\u0301", "\u00c5", "A\u030a", "\u212b", "\ufb01", "fi", "\uff21", "A"},
		{"a/b", "a%2Fb", "a%2fb", "a=2fb", "a=2Fb", "a_b", "a\\b", "a:b", "a b", "a+b", "a%20b", "a.b", "a/b/", "a//b", "a/./b", "a/../b", "/a"},
		{"{x}", "x", "{x", "x}", "*", "?", "x*", "[x]", "#", "x#1", "&", "|", "<x>"},
		{".", "..", " ", "  ", "x ", "x.", "x..", "x.json", "x.tmp", "x~", "-x"},
		{"_backup", ":g:1", ":1", ":fence", ":lease", "_1", "/1", "1", "10", ":meta", ":gen:2"},
	} {
		for _, f := range family {
			ids = append(ids, e.id+"/"+f)
		}
	}
	ids = append(ids, e.id, e.id+"/", e.id+"_backup", e.id+":g:1", strings.ToLower(e.id), strings.ToUpper(e.id))
	return append(ids, longID(e.id, "x", "1"), longID(e.id, "x", "2"), longID(e.id, "é", "1"), longID(e.id, "é", "2"),
		longID(e.id, "/", "1"), longID(e.id, "/", "2"))
}

// longID returns an id of exactly 255 bytes that begins and ends as told.
func longID(begin, fill, end string) string {
	id := begin
	for len(id)+len(fill)+len(end) <= 255 {
		id += fill
	}
	return id + strings.Repeat("-", 255-len(id)-len(end)) + end
}

// A call is one method of an adapter, ready to be made.
type call struct {
	name string
	do   func(ctx context.Context) error
}

// stateCalls returns every call that takes a component id.
func stateCalls(a durable.StateAdapter, id string) []call {
	calls := []call{
		{"SaveState", func(ctx context.Context) error { return a.SaveState(ctx, id, snap(1, 1, "data")) }},
		{"SaveState of the next version", func(ctx context.Context) error { return a.SaveState(ctx, id, snap(0, 0, "data")) }},
		{"LoadState", func(ctx context.Context) error { return noSnapshot(a.LoadState(ctx, id)) }},
		{"DeleteState", func(ctx context.Context) error { return a.DeleteState(ctx, id) }},
	}
	if o := findOwner(a); o != nil {
		calls = append(calls, call{"ClaimState", func(ctx context.Context) error { return o.ClaimState(ctx, id, 1) }})
	}
	if h, ok := a.(durable.Historian); ok {
		calls = append(calls,
			call{"ListSnapshots", func(ctx context.Context) error { _, err := h.ListSnapshots(ctx, id); return err }},
			call{"LoadSnapshot", func(ctx context.Context) error { return noSnapshot(h.LoadSnapshot(ctx, id, 1)) }})
	}
	return calls
}

// leaseCalls returns every call that takes the name of a lease, and the list.
func leaseCalls(a durable.StateAdapter, name string) []call {
	var calls []call
	if o := findOwner(a); o != nil {
		l := durable.Lease{Name: name, Holder: "holder", Epoch: 1, TTL: patience}
		calls = append(calls,
			call{"AcquireLease", func(ctx context.Context) error { _, err := o.AcquireLease(ctx, name, "holder", patience); return err }},
			call{"RenewLease", func(ctx context.Context) error { l := l; return o.RenewLease(ctx, &l) }},
			call{"ReleaseLease", func(ctx context.Context) error { l := l; return o.ReleaseLease(ctx, &l) }},
			call{"LoadLease", func(ctx context.Context) error { _, err := o.LoadLease(ctx, name); return err }})
	}
	if h, ok := a.(durable.Historian); ok {
		calls = append(calls, call{"ListComponents", func(ctx context.Context) error {
			for _, err := range h.ListComponents(ctx) {
				return err
			}
			return nil
		}})
	}
	return calls
}

func noSnapshot(s *durable.Snapshot, err error) error {
	if err != nil && s != nil {
		return fmt.Errorf("a snapshot was returned together with the error %v", err)
	}
	return err
}
