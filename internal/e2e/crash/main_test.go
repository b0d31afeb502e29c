package crash_test

import (
	"fmt"
	"os"
	"testing"
)

// childEnv makes the test binary a child of a crash test. Its value is
// "file <directory>" or "redis <url>".
const childEnv = "DURABLE_CRASH_CHILD"

func TestMain(m *testing.M) {
	store := os.Getenv(childEnv)
	if store == "" {
		os.Exit(m.Run())
	}
	if err := runChild(store); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
