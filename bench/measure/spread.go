package measure

import (
	"math"
	"slices"
)

// A Spread is the median of what several rounds found, and its extremes.
type Spread struct{ Median, Min, Max float64 }

// SpreadOf returns the spread of values, which it sorts. It is zero without any.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	n := len(values)
	return Spread{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

// Find returns the result of the case name. It panics without one, because that
// is a fault of the program.
func (t *Table) Find(name string) *Result {
	for i := range t.Results {
		if t.Results[i].Name == name {
			return &t.Results[i]
		}
	}
	panic("no case " + name + " in " + t.Title)
}

// Ratio tells how many times faster name is than base, compared round by round.
func (t *Table) Ratio(base, name string) Spread {
	b, c := t.Find(base), t.Find(name)
	var ratios []float64
	for i := range min(len(b.Samples), len(c.Samples)) {
		ratios = append(ratios, b.perOp(i)/c.perOp(i))
	}
	return SpreadOf(ratios)
}

// Difference tells how many nanoseconds more an operation of name takes than one
// of base, compared round by round.
func (t *Table) Difference(base, name string) Spread {
	b, c := t.Find(base), t.Find(name)
	var more []float64
	for i := range min(len(b.Samples), len(c.Samples)) {
		more = append(more, c.perOp(i)-b.perOp(i))
	}
	return SpreadOf(more)
}

func (r *Result) perOp(round int) float64 {
	return math.Max(1, float64(r.Samples[round].Wall)) / float64(r.Ops)
}

// Each returns the spread of what f tells of a sample, divided by the operations.
func (r *Result) Each(f func(Sample) float64) Spread {
	var values []float64
	for _, s := range r.Samples {
		values = append(values, f(s)/float64(r.Ops))
	}
	return SpreadOf(values)
}

// Time returns the nanoseconds of one operation.
func (r *Result) Time() Spread { return r.Each(func(s Sample) float64 { return float64(s.Wall) }) }
