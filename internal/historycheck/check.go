// Package historycheck judges what several writers and readers of one component
// saw, against the promises of a store: every version has one owner, an
// acknowledged save stays in the chain, nothing goes backwards, and a save that
// was refused was not stored.
package historycheck

import (
	"fmt"
	"sort"
)

// Kind is what an operation was.
type Kind int

// The kinds of operations.
const (
	Save Kind = iota
	Load
)

// Outcome is how an operation ended for its caller.
type Outcome int

// The outcomes. Of an Unknown save nobody may conclude anything.
const (
	Acknowledged Outcome = iota
	Refused              // a version conflict, and no earlier try of it is in doubt
	Unknown
)

// An Attempt names a save.
type Attempt struct {
	Epoch, Version uint64
	WriteID        string
}

// An Op is one call. Start and End order calls: an op was over before another
// one began exactly when its End is below the other's Start.
type Op struct {
	Process    int
	Kind       Kind
	Outcome    Outcome
	Attempt    Attempt // what was saved or loaded
	Start, End int64
}

// A History is everything that is known of one component.
type History struct {
	Ops   []Op
	Chain []Attempt // every version the store ever accepted, gathered from its own lists; Epoch may be 0
	Last  uint64    // the store's highest version at the end
}

// Check returns what is wrong, nothing if the history is sound.
func Check(h History) []string {
	var wrong []string
	wrong = append(wrong, owners(h)...)
	wrong = append(wrong, ids(h)...)
	wrong = append(wrong, chain(h)...)
	wrong = append(wrong, backwards(h)...)
	return wrong
}

// owners finds versions that two saves own.
func owners(h History) []string {
	var wrong []string
	owner := map[uint64]string{}
	claim := func(a Attempt, where string) {
		if a.Version == 0 {
			return
		}
		if o, ok := owner[a.Version]; ok && o != a.WriteID {
			wrong = append(wrong, fmt.Sprintf("version %d has two owners, %s and %s (%s)", a.Version, o, a.WriteID, where))
			return
		}
		owner[a.Version] = a.WriteID
	}
	for _, a := range h.Chain {
		claim(a, "stored")
	}
	for _, op := range h.Ops {
		if op.Outcome == Acknowledged {
			claim(op.Attempt, [...]string{"acknowledged", "loaded"}[op.Kind])
		}
	}
	return wrong
}

// ids finds a WriteID that owns two versions, and two saves that chose the same.
func ids(h History) []string {
	var wrong []string
	version := map[string]uint64{}
	for _, a := range h.Chain {
		if v, ok := version[a.WriteID]; ok && v != a.Version {
			wrong = append(wrong, fmt.Sprintf("the write %s owns the versions %d and %d", a.WriteID, v, a.Version))
		}
		version[a.WriteID] = a.Version
	}
	process := map[string]int{}
	for _, op := range h.Ops {
		if p, ok := process[op.Attempt.WriteID]; ok && op.Kind == Save && p != op.Process {
			wrong = append(wrong, fmt.Sprintf("the write %s is of the processes %d and %d", op.Attempt.WriteID, p, op.Process))
		}
		if op.Kind == Save {
			process[op.Attempt.WriteID] = op.Process
		}
	}
	return wrong
}

// chain compares the answers to saves with what was stored.
func chain(h History) []string {
	var wrong []string
	stored := map[string]bool{}
	for _, a := range h.Chain {
		stored[a.WriteID] = true
		if a.Version > h.Last {
			wrong = append(wrong, fmt.Sprintf("version %d was stored, the store ended at %d", a.Version, h.Last))
		}
	}
	for _, op := range h.Ops {
		switch {
		case op.Kind == Save && op.Outcome == Acknowledged && !stored[op.Attempt.WriteID]:
			wrong = append(wrong, fmt.Sprintf("version %d (%s) was acknowledged and is not in the chain", op.Attempt.Version, op.Attempt.WriteID))
		case op.Kind == Save && op.Outcome == Refused && stored[op.Attempt.WriteID]:
			wrong = append(wrong, fmt.Sprintf("version %d (%s) was refused and is in the chain", op.Attempt.Version, op.Attempt.WriteID))
		case op.Kind == Load && op.Attempt.Version > 0 && !stored[op.Attempt.WriteID]:
			wrong = append(wrong, fmt.Sprintf("version %d (%s) was loaded and is not in the chain", op.Attempt.Version, op.Attempt.WriteID))
		}
	}
	return wrong
}

// backwards finds an op that did not see what was over before it began: a load
// below a version that was acknowledged or loaded, and an acknowledged save of a
// version that was not above it. A repeat of the very save is not backwards.
func backwards(h History) []string {
	var done []Op
	for _, op := range h.Ops {
		if op.Outcome == Acknowledged {
			done = append(done, op)
		}
	}
	byEnd := append([]Op(nil), done...)
	sort.Slice(byEnd, func(i, j int) bool { return byEnd[i].End < byEnd[j].End })
	sort.Slice(done, func(i, j int) bool { return done[i].Start < done[j].Start })
	var wrong []string
	var seen Op // the highest version that was over
	for n, i := 0, 0; i < len(done); i++ {
		op := done[i]
		for ; n < len(byEnd) && byEnd[n].End < op.Start; n++ {
			if byEnd[n].Attempt.Version > seen.Attempt.Version {
				seen = byEnd[n]
			}
		}
		v := op.Attempt.Version
		if v < seen.Attempt.Version {
			wrong = append(wrong, fmt.Sprintf("process %d %s version %d after version %d was seen by process %d",
				op.Process, [...]string{"was acknowledged", "loaded"}[op.Kind], v, seen.Attempt.Version, seen.Process))
		}
	}
	return wrong
}
