package testkit

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/durablestate/durable"
)

// Tell writes one line to the parent in one write, so that a kill leaves whole
// lines. Without a parent the process ends.
func Tell(format string, args ...any) {
	if _, err := fmt.Fprintf(os.Stdout, format+"\n", args...); err != nil {
		os.Exit(1)
	}
}

// OpenStore opens the store of a child: "file <directory>" or "redis <url>".
func OpenStore(store string) (durable.StateAdapter, error) {
	kind, where, _ := strings.Cut(store, " ")
	if kind == "redis" {
		return durable.OpenRedisAdapter(context.Background(), where, nil)
	}
	return durable.NewFileAdapter(where, nil)
}
