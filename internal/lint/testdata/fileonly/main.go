// Command fileonly uses the library without Redis. The link test looks at what
// of the Redis client is in it all the same.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/durablestate/durable"
)

type counter struct{ N int }

func main() {
	a, err := durable.NewFileAdapter(os.Args[1], nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cp := durable.New(a, &durable.Options{System: "fileonly"})
	count := durable.NewStatefulComponent(counter{})
	if err := cp.Register("count", count); err != nil {
		panic(err)
	}
	if _, err := cp.Restore(context.Background()); err != nil {
		panic(err)
	}
	count.Update(func(c *counter) { c.N++ })
	if err := cp.Close(); err != nil {
		panic(err)
	}
}
