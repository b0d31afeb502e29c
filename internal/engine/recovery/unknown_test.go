package recovery_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

type (
	stored struct {
		Users map[string]profile
		Added []int
	}
	profile struct{ Name, Mail string }
	known   struct {
		Users map[string]struct{ Name string }
	}
)

// TestANewerProgramsFieldsAreNotDroppedWithoutAWord downgrades a program, with its
// states apart and as one.
func TestANewerProgramsFieldsAreNotDroppedWithoutAWord(t *testing.T) {
	for name, consistent := range map[string]bool{"apart": false, "one": true} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				var log bytes.Buffer
				a := durable.NewMemoryAdapter(nil)
				options := &durable.Options{Holder: "h", Consistent: consistent, Logger: slog.New(slog.NewTextHandler(&log, nil))}
				cp := durable.New(a, options)
				n := new(durable.StatefulComponent[stored])
				require.NoError(t, cp.Register("people", n))
				report, err := cp.Restore(t.Context())
				require.NoError(t, err)
				require.Empty(t, report.Results[0].Unknown)
				require.NoError(t, n.Commit(t.Context(), func(s *stored) {
					s.Users = map[string]profile{"alice": {"Alice", "a@example.com"}, "bob": {"Bob", ""}}
					s.Added = []int{1}
				}))
				require.NoError(t, cp.Close())

				cp = durable.New(a, options)
				o := new(durable.StatefulComponent[known])
				require.NoError(t, cp.Register("people", o))
				report, err = cp.Restore(t.Context())
				require.NoError(t, err)
				require.NoError(t, cp.Close())
				require.Equal(t, []string{"Added", "Users[…].Mail"}, report.Results[0].Unknown)
				require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), log.String())
				require.Contains(t, log.String(), "Users[…].Mail")
				require.NotContains(t, log.String(), "alice")
			})
		})
	}
}
