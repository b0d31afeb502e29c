package powercut_test

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
)

// A plan says what each component does, so that parent and child need not tell
// each other: one after the other its changes 1, 2, 3, ... until the power is
// cut. Every boot begins anew with 1.
type plan struct{ seed uint64 }

// A change is one save or deletion.
type change struct {
	component string
	boot, n   int
}

func (c change) String() string {
	return fmt.Sprintf("%s change %d of boot %d", c.component, c.n, c.boot)
}

func (p plan) random(c change) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, c.component, " ", c.boot, " ", c.n)
	return rand.New(rand.NewPCG(p.seed, h.Sum64()))
}

// deletes reports whether c deletes the state. Components that somebody owns are
// not deleted.
func (p plan) deletes(c change) bool {
	return !owned(c.component) && p.random(c).IntN(8) == 0
}

// data returns the state that c saves: one that says which it is, and no byte of
// which could be that of another one unnoticed.
func (p plan) data(c change) []byte {
	r := p.random(c)
	size := 50 + r.IntN(2000)
	if r.IntN(8) == 0 {
		size = r.IntN(64 << 10)
	}
	b := fmt.Appendf(nil, "%s %d %d %d\n", c.component, c.boot, c.n, size)
	for len(b) < size {
		b = append(b, byte(r.Uint64()))
	}
	return b
}

// parse returns the change that saved data. It is not whole when it is not
// exactly what that change saved.
func (p plan) parse(data []byte) (c change, whole bool) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	var size int
	if _, err := fmt.Sscanf(string(line), "%s %d %d %d", &c.component, &c.boot, &c.n, &size); err != nil {
		return c, false
	}
	return c, bytes.Equal(data, p.data(c))
}

// components are all that the child changes, each by a goroutine of its own.
var components = []string{"owned-1", "owned-2", "owned-3", "shared-1", "shared-2", "shared-3", "shared-4"}

// owned components belong to the holder of the lease, who counts their versions.
// The others are saved without epochs and versions, and also deleted.
func owned(component string) bool { return component[0] == 'o' }
