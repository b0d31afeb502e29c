package testkit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/envelope"
)

// Named sets the holder in o.
func Named(holder string, o *durable.Options) *durable.Options {
	o.Holder = holder
	return o
}

// Duo is a Checkpointer with two components, left and right, which every unit of
// work changes alike.
type Duo struct {
	*durable.Checkpointer
	Left, Right *Summed
	Report      durable.Report
}

// Consistent sets Consistent in o.
func Consistent(o *durable.Options) *durable.Options {
	o.Consistent = true
	return o
}

// PrepareDuo returns a Duo that is yet to be restored.
func PrepareDuo(t *testing.T, a durable.StateAdapter, opts *durable.Options) Duo {
	t.Helper()
	d := Duo{Checkpointer: durable.New(a, opts), Left: &Summed{}, Right: &Summed{}}
	require.NoError(t, d.Register("left", d.Left))
	require.NoError(t, d.Register("right", d.Right))
	return d
}

// StartDuo returns a Duo that is restored and started.
func StartDuo(t *testing.T, a durable.StateAdapter, opts *durable.Options) Duo {
	t.Helper()
	d := PrepareDuo(t, a, opts)
	var err error
	d.Report, err = d.Restore(t.Context())
	require.NoError(t, err)
	require.NoError(t, d.Start())
	return d
}

// Work is one unit of work.
func (d Duo) Work() {
	d.Do(func() {
		d.Left.Add(1)
		d.Right.Add(1)
	})
}

// RequireBoth fails t unless both components hold n and were restored with outcome o.
func (d Duo) RequireBoth(t *testing.T, n int, o durable.Outcome) {
	t.Helper()
	require.Equal(t, [2]int{n, n}, [2]int{d.Left.Value(), d.Right.Value()})
	for _, r := range d.Report.Results {
		require.Equal(t, o, r.Outcome, r.ComponentID)
	}
	require.Len(t, d.Report.Results, 2)
}

// StoredSet returns the states in the stored set.
func StoredSet(t *testing.T, a durable.StateAdapter, name string) map[string]string {
	t.Helper()
	s, err := a.LoadState(t.Context(), name)
	require.NoError(t, err)
	states := map[string]string{}
	for rest := s.Data; len(rest) > 0; {
		r, n, err := envelope.Parse(rest)
		require.NoError(t, err)
		states[r.ID] = string(r.Data)
		rest = rest[n:]
	}
	return states
}
