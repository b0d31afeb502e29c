package handover_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/durablestate/durable/internal/trial"
)

// childEnv makes the test binary a child of a hand-over test. Its value is a
// child in JSON.
const childEnv = "DURABLE_HANDOVER_CHILD"

func TestMain(m *testing.M) {
	spec := os.Getenv(childEnv)
	if spec == "" {
		os.Exit(trial.Main(m))
	}
	if err := runChild(spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
