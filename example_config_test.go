package durable_test

import (
	"fmt"

	"github.com/durablestate/durable"
)

// The block may sit in a larger file. A Config never shows a secret.
func ExampleParseConfig() {
	cfg, err := durable.ParseConfig([]byte(`
service: fraud-detection # of others, ignored
state_persistence:
  adapter: redis
  redis_url: "${NO_SUCH_VARIABLE:-redis://:secret@cache:6379/0}"
  ttl: 3600
  snapshot_interval: 60
  system: fraud-detection
  components:
    risk_aggregator: {snapshot_interval: 5s, restore: required}
`))
	fmt.Println(err)
	fmt.Println(cfg.Options.Interval, cfg.Options.Components["risk_aggregator"].Interval)
	fmt.Println(cfg)
	// Output:
	// <nil>
	// 1m0s 5s
	// durable.Config{adapter: redis, redis_url: (not shown), ttl: 1h0m0s, snapshot_interval: 1m0s, system: fraud-detection, components.risk_aggregator.snapshot_interval: 5s, components.risk_aggregator.restore: required}
}

// Everything that is wrong is said at once, with its line.
func ExampleParseConfig_mistakes() {
	_, err := durable.ParseConfig([]byte(`
state_persistence:
  adapter: reddis
  snapshot_intervall: 60
  ttl: 1 hour
`))
	fmt.Println(err)
	// Output:
	// durable: cannot use configuration:
	//   line 3: state_persistence.adapter: must be redis, file or memory, not "reddis"; did you mean redis?
	//   line 4: state_persistence.snapshot_intervall: unknown key; did you mean snapshot_interval?
	//   line 5: state_persistence.ttl: must be whole seconds such as 90 or a duration such as 500ms or 1h30m, not this value
}
