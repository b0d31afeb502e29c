package filestore_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/vfs/crashfs"
)

// workloads returns the fixed workloads: small, so that most of their crash
// states can be tried.
func workloads() (list []workload) {
	for keep := 1; keep <= 3; keep++ {
		list = append(list,
			workload{name: "single saves", keep: keep, run: singleSaves},
			workload{name: "saves in one commit", keep: keep, run: jointSaves},
			workload{name: "deletions", keep: keep, run: deletions},
		)
	}
	list = append(list,
		workload{name: "claims", keep: 2, run: claims},
		workload{name: "leases", keep: 2, run: leases},
		workload{name: "deletion of what lies beside live state", keep: 2, run: deletionInBundle},
		workload{name: "deletion that cannot be cleaned up at once", keep: 1, run: lateBurial},
		workload{name: "process that sleeps while others come and go", keep: 1, run: sleeper},
		workload{name: "rotten generation set aside", keep: 2, run: rotten},
	)
	for n := range 22 {
		list = append(list,
			workload{name: fmt.Sprintf("saves of two processes, one paused at operation %d", n), keep: 2, run: interleaved(n)},
			workload{name: fmt.Sprintf("take-over from a process paused at operation %d", n), keep: 2, run: takenOver(n)},
			workload{name: fmt.Sprintf("first saves of two processes, one paused at operation %d", n), keep: 1, run: firstTogether(n)},
		)
	}
	for n := range 9 {
		for m := range 9 {
			list = append(list, workload{name: fmt.Sprintf("saves of two processes, paused at operations %d and %d", n, m), keep: 2, run: crossed(n, m)})
		}
	}
	for n := range 24 {
		list = append(list, workload{name: fmt.Sprintf("process killed at operation %d", n), keep: 2, run: killed(n)})
	}
	return list
}

func singleSaves(w *world) {
	for round := range 3 {
		p := w.open()
		for range w.keep + 1 {
			p.save("a", 10)
		}
		p.save("b", 700*round)
		p.Close()
	}
}

func jointSaves(w *world) {
	for range 2 {
		p := w.open()
		p.together(300, "a", "b", "c")
		p.together(10, "b", "c")
		p.save("a", 10)
		p.Close()
	}
}

func deletions(w *world) {
	p := w.open()
	p.save("a", 10)
	p.save("a", 10)
	p.save("b", 10)
	p.delete("a")
	p.claim("a", 3)
	p.claim("a", 1)
	p.Close()
	p = w.open()
	p.save("a", 10)
	p.delete("b")
	p.save("b", 10)
	p.delete("b")
	p.Close()
	p = w.open()
	p.claim("b", 1)
	p.delete("a")
	p.Close()
}

func claims(w *world) {
	p := w.open()
	p.claim("fresh", 5)
	p.save("a", 10)
	p.claim("a", 2)
	p.claim("a", 0)
	p.save("a", 10)
	p.Close()
	p = w.open()
	p.claim("a", 1)
	p.save("a", 10)
	p.save("fresh", 10)
	p.Close()
}

func leases(w *world) {
	p := w.open()
	l := p.acquire("l", "one")
	p.renew(l)
	p.save("a", 10)
	p.renew(l)
	q := w.open()
	p.kill()
	l = q.acquire("l", "two")
	q.save("a", 10)
	q.release(l)
	q.acquire("l", "two")
	q.Close()
	q = w.open()
	q.release(q.acquire("l", "three"))
	q.Close()
}

func deletionInBundle(w *world) {
	p := w.open()
	p.together(10, "gone", "alive")
	p.delete("gone")
	p.claim("gone", 1)
	p.Close()
	p = w.open()
	p.save("gone", 10)
	p.Close()
	p = w.open()
	p.save("alive", 10)
	p.save("alive", 10)
	p.Close()
}

// lateBurial lets a deletion and what it deleted become garbage together.
func lateBurial(w *world) {
	a, b := w.open(), w.open()
	a.save("x", 10)
	b.save("y", 10)
	a.delete("x")
	b.save("y", 10)
	a.claim("x", 1)
	b.kill()
	a.save("y", 10)
	a.Close()
}

func sleeper(w *world) {
	a := w.open()
	a.save("a", 10)
	a.save("b", 10)
	for range 2 {
		b := w.open()
		b.save("b", 10)
		b.save("b", 10)
		b.claim("b", 1)
		b.Close()
	}
	a.save("b", 10)
	a.save("b", 10)
	a.save("a", 10)
	a.Close()
}

// rotten saves over an old generation that does not verify any more.
func rotten(w *world) {
	tidy := w.tidy
	w.tidy = patient // so that it lies where it was saved
	p := w.open()
	p.save("a", 10)
	p.save("a", 10)
	p.Close()
	w.restart()
	b, _ := w.disk.Image().File("c-0000000000000001")
	bad := append([]byte(nil), b...)
	bad[len(bad)-1] ^= 1
	w.disk = crashfs.From(w.disk.Image().With("c-0000000000000001", bad))
	w.past.rotten = 1
	w.tidy = tidy
	for range 2 {
		p = w.open()
		p.save("a", 10)
		p.save("a", 10)
		p.Close()
	}
}

// interleaved lets two processes save the same components while one of them is
// slow.
func interleaved(n int) func(w *world) {
	return func(w *world) {
		a, b := w.open(), w.open()
		a.save("x", 10)
		a.save("y", 10)
		a.during(n, func() {
			b.save("x", 400)
			b.claim("x", 1)
			b.save("y", 10)
		}, func() {
			a.save("x", 10)
			a.delete("y")
			a.save("z", 10)
		})
		b.save("z", 10)
		a.Close()
		b.Close()
	}
}

// takenOver lets a process claim and use what another one is about to change.
func takenOver(n int) func(w *world) {
	return func(w *world) {
		a, b := w.open(), w.open()
		a.save("x", 10)
		a.save("y", 10)
		a.during(n, func() {
			b.claim("x", 1)
			b.claim("y", 1)
			b.claim("x", 1)
			b.save("y", 10)
		}, func() {
			a.save("x", 10)
			a.delete("y")
			a.save("x", 10)
		})
		a.kill()
		b.Close()
	}
}

// crossed lets two processes save at the same time, both of them slow.
func crossed(n, m int) func(w *world) {
	return func(w *world) {
		a, b := w.open(), w.open()
		a.save("x", 10)
		b.save("y", 10)
		a.Fence(ctx, "x") // reads what b saved
		w.cross(a, n, func() { a.save("x", 10) }, b, m, func() { b.save("y", 600) })
		a.kill()
		b.kill()
	}
}

// firstTogether lets two processes make the store.
func firstTogether(n int) func(w *world) {
	return func(w *world) {
		a, b := w.open(), w.open()
		a.during(n, func() { b.save("y", 10); b.save("x", 10) }, func() { a.save("x", 10) })
		a.Close()
		b.Close()
	}
}

// killed kills one of two processes before its operation n. The other goes on.
func killed(n int) func(w *world) {
	return func(w *world) {
		b := w.open()
		b.save("x", 10)
		a := w.open()
		left := n
		w.disk.OnOp(func(op crashfs.Op) crashfs.Fault {
			if op.Proc == a.p {
				if left--; left == -1 {
					a.p.Kill()
				}
			}
			return crashfs.Fault{}
		})
		a.save("x", 600)
		a.save("y", 10)
		a.delete("x")
		w.disk.OnOp(nil)
		a.kill()
		b.save("x", 10)
		b.claim("y", 1)
		b.save("y", 10)
		b.Close()
	}
}

// failing is the workload l with an error at an operation drawn from r.
func failing(r *rand.Rand, l workload) workload {
	f := fault{at: r.IntN(300), err: faultErrors[r.IntN(len(faultErrors))], sticky: r.IntN(2) == 0}
	return workload{name: fmt.Sprintf("%s, with %v", l.name, f), keep: l.keep, run: func(w *world) {
		run := faulty{w: w, f: f}
		w.disk.Inject(run.hook)
		l.run(w)
	}}
}

// random is a workload of steps drawn from r.
func random(r *rand.Rand, steps int) workload {
	return workload{name: "random", keep: 1 + r.IntN(3), run: func(w *world) {
		ps := []*proc{w.open()}
		held := map[*proc]*store.Lease{}
		ids := []string{"a", "b", "c", "d"}[:1+r.IntN(4)]
		for range steps {
			i := r.IntN(len(ps))
			p, id := ps[i], ids[r.IntN(len(ids))]
			switch n := r.IntN(32); {
			case n < 14:
				p.save(id, r.IntN(3)*r.IntN(900))
			case n < 17:
				p.together(r.IntN(2)*r.IntN(900), ids...)
			case n < 19:
				p.claim(id, uint64(r.IntN(3)))
			case n < 22:
				p.delete(id)
			case n < 23 && len(ps) < 2:
				ps = append(ps, w.open())
			case n < 25:
				if l := p.acquire("l", fmt.Sprint("holder", i)); l != nil {
					held[p] = l
				}
			case n < 26:
				if l := held[p]; l != nil {
					p.release(l)
				}
			case n < 28:
				p.kill()
				ps[i] = w.open()
			case n < 30:
				p.Close()
				ps[i] = w.open()
			default:
				q := ps[r.IntN(len(ps))]
				p.during(r.IntN(16), func() { q.save(id, 10) }, func() { p.save(id, 500) })
			}
		}
		for _, p := range ps {
			p.Close()
		}
	}}
}
