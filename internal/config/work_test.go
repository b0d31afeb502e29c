package config_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/config"
)

// work returns how many objects it makes to read a block of n components, each with
// the line that follows its id.
func work(n int, line string) int {
	var b strings.Builder
	b.WriteString("state_persistence:\n  adapter: file\n  directory: /d\n  components:\n")
	for i := range n {
		fmt.Fprintf(&b, "    component-%d: {%s}\n", i, line)
	}
	data := []byte(b.String())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	block, err := config.ReadBlock(data, time.Minute)
	if err != nil {
		_ = err.Error()
	} else {
		_ = block.String()
	}
	_, _ = config.Lenient(data, time.Minute, func(string) bool { return true })
	runtime.ReadMemStats(&after)
	return int(after.Mallocs - before.Mallocs)
}

func TestReadingManyComponentsTakesWorkForEachAlone(t *testing.T) {
	for _, line := range []string{"snapshot_interval: 30s", "snapshot_intervall: 30s", "restore: sometimes"} {
		few, many := work(300, line), work(3000, line)
		require.LessOrEqual(t, many, 30*few, "%s: a loop inside a loop would make a hundred times as much", line)
	}
}
