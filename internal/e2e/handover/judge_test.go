package handover_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// judge hears what the processes of a hand-over test tell and knows nothing
// else. It counts what must not happen and never trusts a process about another.
type judge struct {
	records map[string]*record
	owner   int            // process that was the last to be heard of as serving
	lastAck time.Time      // of any process before the next one took over
	kinds   map[int]string // by process: how it replaced its predecessor
	pauses  map[string][]time.Duration

	handovers, commits, clean int
	refused, outages          int
	splits                    int      // acknowledged writes of a superseded process that its successor did not start from
	back                      []string // what went backwards, or came from nowhere
}

// record is one component as seen from outside.
type record struct {
	id      string
	acked   map[int][]int // by process: changes told to be stored
	starts  []takeover
	startOf map[int]int // by process: index of its start
	lost    map[[2]int]bool
}

// takeover is what a process found when it took over.
type takeover struct {
	process        int
	epoch, version uint64
	runs           []run
}

func newJudge() *judge {
	j := &judge{records: map[string]*record{}, kinds: map[int]string{}, pauses: map[string][]time.Duration{}}
	for _, c := range newComponents() {
		j.records[c.id] = &record{id: c.id, acked: map[int][]int{}, startOf: map[int]int{}, lost: map[[2]int]bool{}}
	}
	return j
}

// times counts how often change n of process p is in runs.
func times(runs []run, p, n int) (count int) {
	for _, r := range runs {
		if r.Process == p && r.From <= n && n <= r.To {
			count++
		}
	}
	return count
}

// restored hears what process p found. It must be all that was acknowledged, and
// what its predecessor found with the predecessor's own changes after it.
func (j *judge) restored(p int, rest string) error {
	var id, outcome, text string
	var clean bool
	s := takeover{process: p}
	if _, err := fmt.Sscanf(rest, "%s %s %d %d %t %s", &id, &outcome, &s.epoch, &s.version, &clean, &text); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), &s.runs); err != nil {
		return err
	}
	a := j.records[id]
	if clean && id == "busy" {
		j.clean++
	}
	if outcome != "restored" && (outcome != "first-boot" || len(a.acked) > 0) {
		j.back = append(j.back, fmt.Sprintf("%s: process %d found it %s", id, p, outcome))
	}
	if n := len(a.starts); n > 0 {
		if text := a.starts[n-1].leadsTo(&s); text != "" {
			j.back = append(j.back, fmt.Sprintf("%s: process %d %s", id, p, text))
		}
	}
	a.startOf[p] = len(a.starts)
	a.starts = append(a.starts, s)
	a.audit(s.runs)
	return nil
}

// leadsTo says what is wrong with next as a successor of s, "" if nothing.
func (s *takeover) leadsTo(next *takeover) string {
	switch {
	case next.epoch < s.epoch || next.version < s.version:
		return fmt.Sprintf("went back from epoch %d version %d to %d, %d", s.epoch, s.version, next.epoch, next.version)
	case len(next.runs) < len(s.runs) || !slices.Equal(next.runs[:len(s.runs)], s.runs):
		return fmt.Sprintf("does not continue what process %d found", s.process)
	}
	added := next.runs[len(s.runs):]
	if len(added) > 1 || len(added) == 1 && (added[0].Process != s.process || added[0].From != 1) {
		return fmt.Sprintf("found changes %v that process %d, which had the component, did not make", added, s.process)
	}
	return ""
}

// audit notes what was acknowledged and is not in runs.
func (a *record) audit(runs []run) {
	index := map[int][]run{}
	for _, r := range runs {
		index[r.Process] = append(index[r.Process], r)
	}
	for p, acked := range a.acked {
		for _, n := range acked {
			if times(index[p], p, n) == 0 {
				a.lost[[2]int{p, n}] = true
			}
		}
	}
}

// ack hears that change n of process p is stored. Once a successor has started
// that is only true of what the successor found: a late word is no crime, a late
// write is.
func (j *judge) ack(p int, id string, n int) {
	a := j.records[id]
	a.acked[p] = append(a.acked[p], n)
	mine, known := a.startOf[p]
	if known && mine+1 < len(a.starts) && times(a.starts[mine+1].runs, p, n) == 0 {
		j.splits++
	}
}

// commit hears of an acknowledged Commit.
func (j *judge) commit(p int, id string, n int, at time.Time) {
	j.commits++
	j.ack(p, id, n)
	switch {
	case p > j.owner:
		if j.owner > 0 {
			j.handovers++
			kind := j.kinds[p]
			j.pauses[kind] = append(j.pauses[kind], at.Sub(j.lastAck))
		}
		j.owner = p
		fallthrough
	case p == j.owner:
		j.lastAck = at
	}
}

// verdict counts what is wrong with the final states.
type verdict struct{ lost, doubled, splits, back int }

// sum compares the final states with everything that was acknowledged.
func (j *judge) sum(final map[string][]run) (v verdict) {
	for id, a := range j.records {
		a.audit(final[id])
		v.lost += len(a.lost)
		v.doubled += doubled(final[id])
		if n := len(a.starts); n > 0 {
			last := takeover{process: -1, epoch: a.starts[n-1].epoch, version: a.starts[n-1].version, runs: final[id]}
			if text := a.starts[n-1].leadsTo(&last); text != "" {
				j.back = append(j.back, id+": the final state "+text)
			}
		}
	}
	v.splits, v.back = j.splits, len(j.back)
	return v
}

// doubled counts the changes that are in runs more than once.
func doubled(runs []run) (count int) {
	seen := map[[2]int]bool{}
	for _, r := range runs {
		for n := r.From; n <= r.To; n++ {
			if seen[[2]int{r.Process, n}] {
				count++
			}
			seen[[2]int{r.Process, n}] = true
		}
	}
	return count
}

// table is the summary.
func (j *judge) table(store string, v verdict, took time.Duration) string {
	var all []time.Duration
	var paused time.Duration
	kinds := append(slices.Clone(allKinds), byFalseStart)
	for _, kind := range kinds {
		for _, p := range j.pauses[kind] {
			all = append(all, p)
			paused += p
		}
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\n%s\t\n", store)
	for _, row := range []struct {
		what  string
		count int
	}{
		{"hand-overs", j.handovers}, {"after an orderly end", j.clean}, {"commits acknowledged", j.commits},
		{"per second in service", int(float64(j.commits) / (took - paused).Seconds())},
		{"sleepers refused when they woke up", j.refused}, {"restarts of the server", j.outages},
		{"lost", v.lost}, {"doubled", v.doubled}, {"split-brain writes accepted", v.splits}, {"went backwards", v.back},
	} {
		fmt.Fprintf(w, "%s\t%d\n", row.what, row.count)
	}
	fmt.Fprint(w, "\npause in service\tnumber\tmedian\tp99\n")
	for _, kind := range kinds {
		if list := j.pauses[kind]; len(list) > 0 {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", kind, len(list), quantile(list, 50), quantile(list, 99))
		}
	}
	fmt.Fprintf(w, "all\t%d\t%s\t%s\n", len(all), quantile(all, 50), quantile(all, 99))
	_ = w.Flush()
	return b.String()
}

func quantile(list []time.Duration, percent int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[(len(list)*percent+99)/100-1].Round(time.Millisecond)
}

// How a process is replaced. The successor waits already, except in "same holder".
const (
	byTerm       = "SIGTERM"
	byKill       = "SIGKILL"
	byStop       = "SIGSTOP, wakes up later"
	byStopClose  = "SIGSTOP within Close"
	byStopTerm   = "SIGSTOP, wakes up to close"
	bySameHolder = "same holder, no signal"
	byFalseStart = "one that was to die before its turn" // never planned, see falseStart
)

var allKinds = []string{byTerm, byKill, byStop, byStopClose, byStopTerm, bySameHolder}
