package crashfs

import (
	"iter"
	"maps"
	"math/rand/v2"
)

// Crashes returns the states in which a crash at this moment may leave the disk:
// all of them when they are at most about most, otherwise as many, drawn at
// random. They may repeat. The State must not be used meanwhile.
func (s *State) Crashes(r *rand.Rand, most int) iter.Seq[*Image] {
	if s.ways(most) <= most {
		return s.all
	}
	return func(yield func(*Image) bool) {
		for i := range most {
			if !yield(s.crash(drawing(r, i))) {
				return
			}
		}
	}
}

// Crash returns one state drawn at random.
func (s *State) Crash(r *rand.Rand) *Image { return s.crash(drawing(r, 2+r.IntN(8))) }

// ways returns a number not below that of the different states, once that is
// above most any number above it.
func (s *State) ways(most int) int {
	w := 1
	for i := range s.pending {
		switch c := &s.pending[i]; {
		case c.sure:
		case c.kind == renamed:
			w *= 3
		default:
			w *= 2
		}
		if w > most {
			return w
		}
	}
	for _, n := range s.inodes {
		if w *= n.ways(most); w > most {
			return w
		}
	}
	return w
}

// all yields what each sequence of choices leads to.
func (s *State) all(yield func(*Image) bool) {
	var path, limits []int
	for {
		i := 0
		img := s.crash(func(n int) int {
			if i == len(path) {
				path, limits = append(path, 0), append(limits, n)
			}
			i++
			return path[i-1]
		})
		if !yield(img) {
			return
		}
		for len(path) > 0 && path[len(path)-1] == limits[len(path)-1]-1 {
			path, limits = path[:len(path)-1], limits[:len(path)-1]
		}
		if len(path) == 0 {
			return
		}
		path[len(path)-1]++
	}
}

// drawing returns the choices of the draw i: nothing survives, everything does,
// everything but one, one alone, each with a chance drawn before.
func drawing(r *rand.Rand, i int) func(int) int {
	switch {
	case i == 0:
		return func(int) int { return 0 }
	case i == 1:
		return func(n int) int { return n - 1 }
	case i%4 == 2:
		return exception(r.IntN(24), func(n int) int { return n - 1 }, func(n int) int { return r.IntN(n) })
	case i%4 == 3:
		return exception(r.IntN(24), func(int) int { return 0 }, func(n int) int { return r.IntN(n) })
	}
	chance := r.Float64()
	return func(n int) int {
		if r.Float64() < chance {
			return n - 1
		}
		return r.IntN(n)
	}
}

// exception chooses as rule does, but at the choice number at.
func exception(at int, rule, there func(int) int) func(int) int {
	return func(n int) int {
		at--
		if at == -1 {
			return there(n)
		}
		return rule(n)
	}
}

// crash builds one state. choose picks one of n ways, 0 for what loses most.
func (s *State) crash(choose func(n int) int) *Image {
	img := &Image{}
	pick := func(n int) int {
		c := choose(n)
		img.Choices = append(img.Choices, c)
		return c
	}
	names := s.durable
	if len(s.pending) > 0 {
		names = maps.Clone(names)
	}
	for i := range s.pending {
		s.pending[i].crash(names, pick)
	}
	// In the order of creation, so that the same choices lead to the same state.
	for _, n := range s.inodes {
		n.mark = false
	}
	for _, n := range names {
		n.mark = true
	}
	type content struct {
		b   []byte
		key uint64
	}
	var torn map[*inode]content
	for _, n := range s.inodes {
		if n.mark && !n.clean() {
			if torn == nil {
				torn = map[*inode]content{}
			}
			b, key := n.crash(pick)
			torn[n] = content{b, key}
		}
	}
	img.grow(len(names))
	for name, n := range names {
		if c, ok := torn[n]; ok {
			img.add(name, c.b, c.key)
			continue
		}
		b, key := n.crash(nil)
		img.add(name, b, key)
	}
	return img
}

// crash applies what a crash leaves of c to names.
func (c *change) crash(names map[string]*inode, choose func(int) int) {
	ways := 2
	if c.kind == renamed {
		ways = 3
	}
	done := ways - 1
	if !c.sure {
		done = choose(ways)
	}
	switch {
	case done == 0:
	case c.kind == created:
		names[c.name] = c.ino
	case c.kind == removed:
		delete(names, c.name)
	case c.kind == renamed:
		names[c.to] = c.ino
		if done == 2 && names[c.name] == c.ino {
			delete(names, c.name)
		}
	}
}

// visible returns the image of what is seen.
func (s *State) visible() *Image {
	img := &Image{}
	for name, n := range s.names {
		img.add(name, n.cur, hash(n.cur))
	}
	return img
}

func (m *Image) grow(n int) {
	m.names, m.data, m.keys = make([]string, 0, n), make([][]byte, 0, n), make([]uint64, 0, n)
}
