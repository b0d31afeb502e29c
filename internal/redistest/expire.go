package redistest

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Expire makes the state at key what it is after its TTL: gone, with a fence
// that says when it was to end. It serves where time cannot be moved.
func Expire(t testing.TB, c redis.Cmdable, key string) {
	t.Helper()
	ctx := context.Background()
	if err := c.SetRange(ctx, "{"+key+"}:f", 63, "0000000000001").Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.Del(ctx, key).Err(); err != nil {
		t.Fatal(err)
	}
}
