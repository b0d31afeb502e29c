package testkit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

// Bubble runs fn with virtual time; it fails when a goroutine is left over.
func Bubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}

// Harness is a Checkpointer with one word counter.
type Harness struct {
	*durable.Checkpointer
	Words  *WordCounter
	Report durable.Report
}

// Start returns a harness that is restored and started.
func Start(t *testing.T, a durable.StateAdapter, opts *durable.Options) Harness {
	t.Helper()
	h := Prepare(t, a, opts)
	var err error
	h.Report, err = h.Restore(t.Context())
	require.NoError(t, err)
	require.NoError(t, h.Start())
	return h
}

// Prepare returns a harness that is yet to be restored; nil opts mean Quiet.
func Prepare(t *testing.T, a durable.StateAdapter, opts *durable.Options) Harness {
	t.Helper()
	if opts == nil {
		opts = Quiet()
	}
	h := Harness{Checkpointer: durable.New(a, opts), Words: &WordCounter{}}
	require.NoError(t, h.Register("words", h.Words))
	return h
}

// Outcome returns how the restore of the word counter ended.
func (h Harness) Outcome(t *testing.T) durable.Outcome {
	t.Helper()
	r, ok := h.Report.Component("words")
	require.True(t, ok)
	return r.Outcome
}

// LeaseHolder returns who holds the lease without a name.
func LeaseHolder(t *testing.T, a durable.Owner) string {
	l, err := a.LoadLease(t.Context(), "")
	require.NoError(t, err)
	return l.Holder
}

// CloseWithin closes h, which must not take longer than d, and returns its error.
func CloseWithin(t *testing.T, h interface{ Close() error }, d time.Duration) error {
	t.Helper()
	begin := time.Now()
	err := h.Close()
	require.LessOrEqual(t, time.Since(begin), d)
	return err
}

// RequireGivenUp fails t unless l was released, or ends soon: after a Close that left
// something unsaved.
func RequireGivenUp(t *testing.T, l *durable.Lease) {
	t.Helper()
	require.True(t, l.Released || time.Until(l.Expires) <= time.Second, "expires in %s", time.Until(l.Expires))
}
