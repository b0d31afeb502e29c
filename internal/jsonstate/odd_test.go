package jsonstate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Types as programs have them, sound and unsound.
type (
	label    string
	rounded  struct{ V float64 } // its text has one digit
	rawID    [4]byte             // its text is no UTF-8
	upper    string              // what its text says is read in capitals
	code     int                 // both ways, "code-5"
	word     string              // both ways
	jsonKey  struct{ S string }  // JSON both ways, no text
	cents    struct{ N int }     // JSON both ways
	lossy    struct{ A, B int }  // its JSON leaves B out
	writes   struct{ A int }     // one direction
	reads    struct{ A int }     // the other
	pointed  struct{ A int }     // methods of the pointer
	nullable struct {            // null when it is not valid
		V     int
		Valid bool
	}
	set    map[string]bool       // a list in JSON
	day    struct{ t time.Time } // its text rounds to a day
	cached struct {              // has what is no part of its value
		n     int
		cache map[string]int
	}
	guarded struct { // guards itself
		mu sync.Mutex
		n  int
	}
	broken  struct{ A int } // what it writes is no JSON
	twins   struct{ A int } // what it writes has a name twice
	failing struct{ A int } // refuses some values
	deaf    struct{ A int } // cannot read what it writes
	zeroish struct{ A int } // says that it is zero when it is not
	hasZero struct {
		Z zeroish `json:",omitzero"`
	}
	timeZero struct {
		T time.Time `json:",omitzero"`
	}
	node  struct{ Next *node }
	forks []forks
	woods map[string]woods
	Base  struct{ X, Y int }
	Quiet struct {
		X int `json:",omitempty"`
	}
	base     struct{ X int }
	withBase struct {
		Base
		Z int
	}
	withPointer struct{ *Base }
	withQuiet   struct{ *Quiet }
	withHidden  struct{ *base }
	withLow     struct{ base }
	shadows     struct {
		Base
		X int
	}
	ambiguousXY struct {
		Base
		Quiet
	}
	unexported struct{ a int }
	Celsius    float64
	withFloat  struct{ Celsius }
	value      interface{}
	withTime   struct{ time.Time }
	tagged     struct {
		A int `json:"a,omitempty"`
		B int `json:"A"`
	}
	indexed struct { // its JSON has A only
		A, B  int
		index map[string]int
	}
	logged struct { // likewise, and has a lock elsewhere
		A, B int
		log  *guarded
	}
	guardedSet struct {
		mu sync.Mutex
		m  set
	}
	tally struct{ m map[string]int } // its JSON has the keys only
	boxed struct{ v *float64 }       // its JSON has one digit
	job   struct {                   // its JSON has Rank only, by which jobs are put in order
		Rank int
		Name string
	}
	telltale  string             // its method fails, and says for what
	jsonKeyed struct{ S string } // likewise, as a key
	frequent  struct {
		Name string         `json:"name,omitempty"`
		Tags []string       `json:"tags,omitempty"`
		Left map[string]int `json:"left,omitempty"`
		At   time.Time      `json:"at,omitzero"`
		Next *frequent      `json:"next,omitempty"`
	}
	octets []octet
	octet  byte
	loud   byte // a byte with a text
	louds  []loud
)

var odd = []reflect.Type{
	reflect.TypeFor[label](), reflect.TypeFor[rounded](), reflect.TypeFor[rawID](), reflect.TypeFor[upper](), reflect.TypeFor[code](), reflect.TypeFor[word](),
	reflect.TypeFor[jsonKey](), reflect.TypeFor[cents](), reflect.TypeFor[lossy](), reflect.TypeFor[writes](), reflect.TypeFor[reads](), reflect.TypeFor[pointed](),
	reflect.TypeFor[nullable](), reflect.TypeFor[set](), reflect.TypeFor[day](), reflect.TypeFor[cached](), reflect.TypeFor[*guarded](), reflect.TypeFor[broken](),
	reflect.TypeFor[twins](), reflect.TypeFor[failing](), reflect.TypeFor[deaf](), reflect.TypeFor[hasZero](), reflect.TypeFor[timeZero](), reflect.TypeFor[node](),
	reflect.TypeFor[forks](), reflect.TypeFor[woods](), reflect.TypeFor[withBase](), reflect.TypeFor[withPointer](), reflect.TypeFor[withQuiet](),
	reflect.TypeFor[withHidden](), reflect.TypeFor[withLow](), reflect.TypeFor[shadows](), reflect.TypeFor[ambiguousXY](), reflect.TypeFor[unexported](),
	reflect.TypeFor[withFloat](), reflect.TypeFor[value](), reflect.TypeFor[withTime](), reflect.TypeFor[tagged](), reflect.TypeFor[octets](), reflect.TypeFor[louds](),
	reflect.TypeFor[*int](), reflect.TypeFor[**string](), reflect.TypeFor[*[]int](), reflect.TypeFor[*any](), reflect.TypeFor[level](), reflect.TypeFor[grade](),
}

func init() { // makers refers to types that refer to it
	makers[reflect.TypeFor[day]()] = func(d *dice) any { return day{d.time()} }
	makers[reflect.TypeFor[cached]()] = func(d *dice) any { return cached{n: d.n(9), cache: map[string]int{"a": d.n(9)}} }
	makers[reflect.TypeFor[*guarded]()] = func(d *dice) any { return &guarded{n: d.n(9)} }
	makers[reflect.TypeFor[withTime]()] = func(d *dice) any { return withTime{d.time()} }
}

func (r rounded) MarshalText() ([]byte, error) { return strconv.AppendFloat(nil, r.V, 'f', 1, 64), nil }
func (r *rounded) UnmarshalText(b []byte) (err error) {
	r.V, err = strconv.ParseFloat(string(b), 64)
	return err
}

func (r rawID) MarshalText() ([]byte, error)  { return r[:], nil }
func (r *rawID) UnmarshalText(b []byte) error { *r = rawID{}; copy(r[:], b); return nil }

func (u upper) MarshalText() ([]byte, error)  { return []byte(u), nil }
func (u *upper) UnmarshalText(b []byte) error { *u = upper(strings.ToUpper(string(b))); return nil }

func (c code) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "code-%d", int(c)), nil }
func (c *code) UnmarshalText(b []byte) error {
	n, err := strconv.Atoi(strings.TrimPrefix(string(b), "code-"))
	*c = code(n)
	return err
}

func (w word) MarshalText() ([]byte, error)  { return []byte("<" + w + ">"), nil }
func (w *word) UnmarshalText(b []byte) error { *w = word(strings.Trim(string(b), "<>")); return nil }

func (k jsonKey) MarshalJSON() ([]byte, error)  { return json.Marshal(k.S) }
func (k *jsonKey) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &k.S) }

func (c cents) MarshalJSON() ([]byte, error)  { return fmt.Appendf(nil, " { \"n\" : %d } ", c.N), nil }
func (c *cents) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*struct{ N int })(c)) }

func (l lossy) MarshalJSON() ([]byte, error)  { return json.Marshal(l.A) }
func (l *lossy) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &l.A) }

func (w writes) MarshalJSON() ([]byte, error) { return json.Marshal(w.A) }
func (r *reads) UnmarshalText([]byte) error   { return nil }

func (p *pointed) MarshalJSON() ([]byte, error) { return json.Marshal(p.A) }
func (p *pointed) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &p.A) }

func (n nullable) MarshalJSON() ([]byte, error) {
	if !n.Valid {
		return []byte("null"), nil
	}
	return json.Marshal(n.V)
}

func (n *nullable) UnmarshalJSON(b []byte) error {
	if n.Valid = string(b) != "null"; !n.Valid {
		return nil
	}
	return json.Unmarshal(b, &n.V)
}

func (s set) MarshalJSON() ([]byte, error) {
	list := []string{}
	for k, v := range s {
		if v {
			list = append(list, k)
		}
	}
	return json.Marshal(list)
}

func (s *set) UnmarshalJSON(b []byte) error {
	var list []string
	err := json.Unmarshal(b, &list)
	*s = set{}
	for _, k := range list {
		(*s)[k] = true
	}
	return err
}

func (d day) MarshalText() ([]byte, error) { return []byte(d.t.Format(time.DateOnly)), nil }
func (d *day) UnmarshalText(b []byte) (err error) {
	d.t, err = time.Parse(time.DateOnly, string(b))
	return err
}

func (c cached) MarshalJSON() ([]byte, error)  { return json.Marshal(c.n) }
func (c *cached) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &c.n) }

func (x indexed) MarshalJSON() ([]byte, error)  { return json.Marshal(x.A) }
func (x *indexed) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &x.A) }

func (l logged) MarshalJSON() ([]byte, error)  { return json.Marshal(l.A) }
func (l *logged) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &l.A) }

func (g *guardedSet) MarshalJSON() ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.m.MarshalJSON()
}
func (g *guardedSet) UnmarshalJSON(b []byte) error { return g.m.UnmarshalJSON(b) }

func (t tally) MarshalJSON() ([]byte, error) { return json.Marshal(slices.Sorted(maps.Keys(t.m))) }
func (t *tally) UnmarshalJSON(b []byte) error {
	var keys []string
	err := json.Unmarshal(b, &keys)
	t.m = map[string]int{}
	for _, k := range keys {
		t.m[k] = 1
	}
	return err
}

func (x boxed) MarshalText() ([]byte, error) { return rounded{*x.v}.MarshalText() }
func (x *boxed) UnmarshalText(b []byte) error {
	x.v = new(float64)
	return json.Unmarshal(b, x.v)
}

func (j job) Compare(other job) int         { return j.Rank - other.Rank }
func (j job) MarshalJSON() ([]byte, error)  { return json.Marshal(j.Rank) }
func (j *job) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &j.Rank) }

func (t telltale) MarshalJSON() ([]byte, error)  { return nil, errors.New("bad " + string(t)) }
func (t *telltale) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*string)(t)) }

func (k jsonKeyed) MarshalText() ([]byte, error)  { return nil, errors.New("bad " + k.S) }
func (k *jsonKeyed) UnmarshalText(b []byte) error { k.S = string(b); return nil }

func (g *guarded) MarshalJSON() ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return json.Marshal(g.n)
}
func (g *guarded) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &g.n) }

func (b broken) MarshalJSON() ([]byte, error)  { return []byte(secret), nil }
func (b *broken) UnmarshalJSON(_ []byte) error { return nil }

func (t twins) MarshalJSON() ([]byte, error) {
	return []byte(`{"` + secret + `":1,"` + secret + `":2}`), nil
}
func (t *twins) UnmarshalJSON(_ []byte) error { return nil }

func (f failing) MarshalText() ([]byte, error) {
	if f.A%2 == 1 {
		return nil, errors.New("odd")
	}
	return strconv.AppendInt(nil, int64(f.A), 10), nil
}

func (f *failing) UnmarshalText(b []byte) (err error) {
	f.A, err = strconv.Atoi(string(b))
	return err
}

func (d deaf) MarshalText() ([]byte, error)  { return []byte(secret), nil }
func (d *deaf) UnmarshalText(b []byte) error { return fmt.Errorf("what is %s", b) }

func (z zeroish) IsZero() bool { return z.A < 0 }

func (l loud) MarshalText() ([]byte, error)  { return []byte{'!', byte('a' + l%8)}, nil }
func (l *loud) UnmarshalText(b []byte) error { *l = loud(b[1] - 'a'); return nil }
