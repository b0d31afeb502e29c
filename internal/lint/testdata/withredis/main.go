// Command withredis opens what a configuration names, so it needs the Redis
// client. It is the counterpart that shows that the link test can fail.
package main

import (
	"context"
	"fmt"

	"github.com/durablestate/durable"
)

func main() {
	cfg, err := durable.LoadConfig("config.yaml")
	if err == nil {
		_, err = cfg.OpenAdapter(context.Background())
	}
	fmt.Println(err)
}
