package jsonstate_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"time"
)

// secret is in keys and texts, and must be in no error.
const secret = "s3cr3t"

// dice decides, by the bytes of a fuzzer or by chance.
type dice struct {
	data []byte
	rnd  *rand.Rand
}

// diceOf uses data, and what follows from it when it is used up.
func diceOf(data []byte) *dice {
	var seed [2]uint64
	for i, b := range data {
		seed[i%2] = seed[i%2]*31 + uint64(b)
	}
	return &dice{data: data, rnd: rand.New(rand.NewPCG(seed[0], seed[1]))}
}

func (d *dice) n(sides int) int {
	if len(d.data) > 0 {
		b := d.data[0]
		d.data = d.data[1:]
		return int(b) % sides
	}
	return d.rnd.IntN(sides)
}

func (d *dice) one(in int) bool { return d.n(in) == 0 }

func pick[T any](d *dice, of ...T) T { return of[d.n(len(of))] }

// leaves are the types that others are made of.
var leaves = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int64](), reflect.TypeFor[uint8](),
	reflect.TypeFor[uint64](), reflect.TypeFor[uintptr](), reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[string](),
	reflect.TypeFor[[]byte](), reflect.TypeFor[[3]byte](), reflect.TypeFor[any](), reflect.TypeFor[map[string]any](), reflect.TypeFor[[]any](),
	reflect.TypeFor[time.Time](), reflect.TypeFor[time.Duration](), reflect.TypeFor[time.Month](), reflect.TypeFor[json.Number](), reflect.TypeFor[json.RawMessage](),
	reflect.TypeFor[big.Int](), reflect.TypeFor[big.Rat](), reflect.TypeFor[big.Float](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[net.IP](),
	reflect.TypeFor[netip.Prefix](), reflect.TypeFor[error](), reflect.TypeFor[complex128](), reflect.TypeFor[chan int](), reflect.TypeFor[struct{}](),
}

var keys = []reflect.Type{
	reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[uint8](), reflect.TypeFor[int64](), reflect.TypeFor[bool](), reflect.TypeFor[float64](),
	reflect.TypeFor[time.Time](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[*big.Int](), reflect.TypeFor[any](), reflect.TypeFor[json.Number](),
	reflect.TypeFor[time.Duration](), reflect.TypeFor[[2]int](), reflect.TypeFor[label](), reflect.TypeFor[rounded](), reflect.TypeFor[rawID](), reflect.TypeFor[upper](),
	reflect.TypeFor[level](), reflect.TypeFor[grade](), reflect.TypeFor[code](), reflect.TypeFor[word](), reflect.TypeFor[jsonKey](),
}

var tags = []reflect.StructTag{
	"", "", "", "", `json:"a"`, `json:"A"`, `json:"b"`, `json:"-"`, `json:"-,"`, `json:",omitempty"`, `json:",omitzero"`, `json:",string"`,
	`json:"c,omitempty"`, `json:"d,omitzero,string"`, `json:name`, `xml:"x",json:"y"`, `json:"e'f"`, `json:"é"`, `json:"g–h"`, `json:"a b"`,
	`json:",embed"`, `json:",omitEmpty"`, `json:",format:unix"`, `json:"B"`, `json:",case:ignore"`, `json:"<&>"`, `json:"x.y/z~"`,
}

// typ makes a type.
func (d *dice) typ(depth int) reflect.Type {
	if depth > 3 || d.one(3) {
		if d.one(2) {
			return pick(d, odd...)
		}
		return pick(d, leaves...)
	}
	switch d.n(6) {
	case 0:
		return reflect.PointerTo(d.typ(depth + 1))
	case 1:
		return reflect.SliceOf(d.typ(depth + 1))
	case 2:
		return reflect.ArrayOf(d.n(3), d.typ(depth+1))
	case 3:
		return reflect.MapOf(pick(d, keys...), d.typ(depth+1))
	}
	fields := make([]reflect.StructField, d.n(4))
	for i := range fields {
		fields[i] = reflect.StructField{Name: string(rune('A' + i)), Type: d.typ(depth + 1), Tag: pick(d, tags...)}
	}
	return reflect.StructOf(fields)
}

// fill gives v a value.
func (d *dice) fill(v reflect.Value, depth int) {
	if d.one(12) {
		return // zero
	}
	if make, ok := makers[v.Type()]; ok {
		v.Set(reflect.ValueOf(make(d)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(d.one(2))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(pick(d, 1, -1, math.MaxInt64, math.MinInt64, 1<<53+1, int64(d.n(200))))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(pick(d, 1, math.MaxUint64, 1<<63, 1<<53+1, uint64(d.n(200))))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(d.float())
	case reflect.String:
		v.SetString(d.text())
	case reflect.Interface:
		if x := d.any(depth); x != nil && v.NumMethod() == 0 {
			v.Set(reflect.ValueOf(x))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.fill(v.Elem(), depth+1)
	case reflect.Slice:
		n := d.n(3)
		v.Set(reflect.MakeSlice(v.Type(), n, n+d.n(2)))
		d.elements(v, depth)
	case reflect.Array:
		d.elements(v, depth)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range d.n(4) {
			d.entry(v, depth)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Tag.Get("json") != "-" {
				d.fill(f, depth+1)
			}
		}
	}
}

func (d *dice) elements(v reflect.Value, depth int) {
	for i := range v.Len() {
		if depth < 12 {
			d.fill(v.Index(i), depth+1)
		}
	}
}

func (d *dice) entry(m reflect.Value, depth int) {
	if depth > 12 {
		return
	}
	k, e := reflect.New(m.Type().Key()).Elem(), reflect.New(m.Type().Elem()).Elem()
	d.fill(k, depth+1)
	d.fill(e, depth+1)
	if k.Comparable() {
		m.SetMapIndex(k, e)
	}
}

func (d *dice) float() float64 {
	return pick(d, 0.5, 1, math.Copysign(0, -1), 1e21, 1e20, 1e-7, math.MaxFloat64, math.SmallestNonzeroFloat64, 1<<53,
		float64(d.n(100)), math.Float64frombits(d.rnd.Uint64()), pick(d, math.NaN(), math.Inf(1), 0.1))
}

func (d *dice) text() string {
	return pick(d, "", "a", "A", secret, secret+"\ufffd", "<&>", "é\u2028", "null", `"`, "\x00\n", "5", "1e400", fmt.Sprint(d.n(1000)),
		pick(d, "\xff"+secret, "b", "\xfe"+secret, "x"))
}

// any makes what may be behind an any, and some that may not.
func (d *dice) any(depth int) any {
	if depth < 6 && d.one(3) {
		if d.one(2) {
			s := make([]any, d.n(3))
			for i := range s {
				s[i] = d.any(depth + 1)
			}
			return s
		}
		m := map[string]any{}
		for range d.n(3) {
			m[d.text()] = d.any(depth + 1)
		}
		return m
	}
	if d.one(40) {
		return pick[any](d, []byte("x"), time.Now(), struct{ A, b int }{1, 2}, json.Number("1e400"), json.Number("1"), []string{"a"}, map[string]int{"a": 1},
			label("x"), (*int)(nil), new(int), time.Second, [2]int{}, big.NewInt(1), map[int]any{1: 1}, complex(1, 1), func() {}, error(nil), rawID{})
	}
	return pick[any](d, nil, true, d.text(), d.float(), float32(d.float()), d.n(1000), int64(math.MinInt64), uint64(math.MaxUint64), uint64(7),
		int8(-3), uint16(9), map[string]any(nil), []any(nil), []any{}, map[string]any{}, uint8(200), uint(1), int32(5), uint32(6), int16(-1))
}

// makers make values of types whose inside is not for others.
var makers = map[reflect.Type]func(d *dice) any{
	reflect.TypeFor[time.Time]():    func(d *dice) any { return d.time() },
	reflect.TypeFor[big.Int]():      func(d *dice) any { return *d.bigInt() },
	reflect.TypeFor[big.Rat]():      func(d *dice) any { return *new(big.Rat).SetFrac(d.bigInt(), big.NewInt(int64(d.n(9)+1))) },
	reflect.TypeFor[big.Float]():    func(d *dice) any { return *new(big.Float).SetPrec(200).SetFloat64(0.1) },
	reflect.TypeFor[netip.Addr]():   func(d *dice) any { return d.addr() },
	reflect.TypeFor[netip.Prefix](): func(d *dice) any { return netip.PrefixFrom(d.addr(), d.n(33)) },
	reflect.TypeFor[json.Number](): func(d *dice) any {
		return pick(d, json.Number("1"), "-0", "1e400", "", "0.10", "x", "1 ", " 1", "NaN", json.Number(d.text()))
	},
	reflect.TypeFor[json.RawMessage](): func(d *dice) any {
		return json.RawMessage(pick(d, "null", "{}", `{"a":1}`, `"\u00e9"`, "", "{", `{"a":1,"a":2}`, "1", " [ 1 , 2 ] ", `"<"`, "\"\xff\"", `[null]`, "1e400"))
	},
}

func (d *dice) bigInt() *big.Int {
	return pick(d, big.NewInt(0), big.NewInt(-7), new(big.Int).Lsh(big.NewInt(3), 200), new(big.Int).Sub(big.NewInt(5), big.NewInt(5)))
}

func (d *dice) addr() netip.Addr {
	return pick(d, netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("::1"), netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::ffff:1.2.3.4"))
}

func (d *dice) time() time.Time {
	t := time.Date(pick(d, 1, 1892, 1970, 2026, 9999, 10000, -1), time.Month(d.n(12)+1), d.n(28), d.n(24), d.n(60), d.n(60), d.n(1e9), time.UTC)
	switch d.n(8) {
	case 0:
		return time.Now() // has a monotonic reading
	case 1:
		return t.Local()
	case 2:
		return t.In(time.FixedZone("LMT", 19*60+32))
	case 3:
		return t.In(time.FixedZone("east", pick(d, 2, -11, 14, 23, 24, 25)*3600+pick(d, 0, 30, 59)*60))
	case 4:
		return time.Time{}.In(time.FixedZone("", 3600))
	}
	return t
}
