package peers

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/durablestate/durable/bench/peers/peer"
)

// Rueidis sets many keys with DoMulti. The client lives as long as the process.
func Rueidis(addr string) (peer.SetMany, error) {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true})
	if err != nil {
		return nil, err
	}
	return func(keys []string, values [][]byte, ttl time.Duration) error {
		cmds := make(rueidis.Commands, len(keys))
		for i, k := range keys {
			cmds[i] = c.B().Set().Key(k).Value(rueidis.BinaryString(values[i])).Ex(ttl).Build()
		}
		for _, r := range c.DoMulti(context.Background(), cmds...) {
			if err := r.Error(); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
