package crash_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/durablestate/durable/internal/trial"
)

// childEnv makes the test binary a child of a crash test. Its value is
// "file <directory>" or "redis <url>".
const childEnv = "DURABLE_CRASH_CHILD"

func TestMain(m *testing.M) {
	store := os.Getenv(childEnv)
	if store == "" {
		os.Exit(trial.Main(m))
	}
	if err := runChild(store); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
