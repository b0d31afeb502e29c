package crashfs

import (
	"bytes"
	"hash/maphash"
	"slices"
)

const sector = 512

// An inode is the content of a file. The bytes of both slices are never changed,
// so that states and images share them.
type inode struct {
	cur  []byte       // as seen
	base []byte       // as on the medium
	lost map[int]bool // sectors that a failed sync forgot
	key  uint64       // of base if the two are the same, 0 if it is not known
	mark bool         // for the crash being built
}

func (n *inode) write(off int, b []byte) {
	n.key = 0
	if off == len(n.cur) {
		n.cur = append(n.cur, b...)
		return
	}
	n.cur = append(make([]byte, 0, max(len(n.cur), off+len(b))), n.cur...)
	if end := off + len(b); end > len(n.cur) {
		n.cur = n.cur[:end]
	}
	copy(n.cur[off:], b)
}

func (n *inode) sync() {
	if n.lost == nil {
		n.base = n.cur
		return
	}
	base := bytes.Clone(n.cur)
	for i := range n.lost {
		copySector(base, n.base, i)
	}
	n.base = base
}

// forget marks what a sync should have written and did not.
func (n *inode) forget() {
	if n.lost == nil {
		n.lost = map[int]bool{}
	}
	for _, i := range n.unsure() {
		n.lost[i] = true
	}
}

// copySector makes sector i of dst what it is in src, which is zero beyond its
// end.
func copySector(dst, src []byte, i int) {
	from, to := i*sector, min((i+1)*sector, len(dst))
	if from >= to {
		return
	}
	m := 0
	if from < len(src) {
		m = copy(dst[from:to], src[from:])
	}
	clear(dst[from+m : to])
}

// clean reports whether a crash cannot change the content.
func (n *inode) clean() bool {
	return len(n.cur) == len(n.base) && (len(n.cur) == 0 || &n.cur[0] == &n.base[0])
}

// unsure returns the sectors that may be old or new after a crash.
func (n *inode) unsure() (list []int) {
	for i := 0; i*sector < len(n.cur); i++ {
		a, b := at(n.cur, i), at(n.base, i)
		if !bytes.Equal(a, b) {
			list = append(list, i)
		}
	}
	return list
}

func at(b []byte, i int) []byte {
	if i*sector >= len(b) {
		return nil
	}
	return b[i*sector : min(len(b), (i+1)*sector)]
}

// sizes returns the lengths that the file may have after a crash, the one as
// seen last.
func (n *inode) sizes() []int {
	from, to := len(n.base), len(n.cur)
	if from == to {
		return []int{to}
	}
	list := []int{from}
	for s := from/sector*sector + sector; s < to; s += sector {
		list = append(list, s)
	}
	return append(list, to)
}

// crash returns what a crash may leave of the content.
func (n *inode) crash(choose func(int) int) ([]byte, uint64) {
	if n.clean() {
		if n.key == 0 {
			n.key = hash(n.cur)
		}
		return n.cur, n.key
	}
	sizes, unsure := n.sizes(), n.unsure()
	size := sizes[choose(len(sizes))]
	b := make([]byte, max(size, len(n.base)))
	copy(b, n.base)
	b = b[:size]
	for _, i := range unsure {
		if i*sector < size && choose(2) == 1 {
			copySector(b, n.cur, i)
		}
	}
	return b, hash(b)
}

// ways returns a number not below that of the different contents after a crash.
func (n *inode) ways(most int) int {
	if n.clean() {
		return 1
	}
	w := len(n.sizes())
	for range n.unsure() {
		if w *= 2; w > most {
			break
		}
	}
	return w
}

var seed = maphash.MakeSeed()

func hash(b []byte) uint64 { return max(1, maphash.Bytes(seed, b)) }

// An Image is the content of a disk that is not in use. It is never changed.
type Image struct {
	names []string
	data  [][]byte
	keys  []uint64
	key   uint64

	Choices []int // that a crash made
}

// Key tells images apart, within one process.
func (m *Image) Key() uint64 { return m.key }

// Names returns the names of the files in order.
func (m *Image) Names() []string { return slices.Sorted(slices.Values(m.names)) }

// File returns the content of a file, which must not be changed.
func (m *Image) File(name string) ([]byte, bool) {
	i := slices.Index(m.names, name)
	if i < 0 {
		return nil, false
	}
	return m.data[i], true
}

// With returns the image with another file, or with other content of that file.
func (m *Image) With(name string, data []byte) *Image {
	n := m.Without(name)
	n.add(name, data, hash(data))
	return n
}

// Without returns the image without a file.
func (m *Image) Without(name string) *Image {
	n := &Image{}
	for i := range m.names {
		if m.names[i] != name {
			n.add(m.names[i], m.data[i], m.keys[i])
		}
	}
	return n
}

func (m *Image) add(name string, data []byte, key uint64) {
	m.names, m.data, m.keys = append(m.names, name), append(m.data, data), append(m.keys, key)
	k := maphash.String(seed, name)*0x9e3779b97f4a7c15 ^ key
	m.key += (k ^ k>>29) * 0xbf58476d1ce4e5b9
}
