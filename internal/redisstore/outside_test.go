package redisstore_test

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/store"
)

// Whoever can write a key can write a record of any length. It is an error, and is
// not fetched.
func TestARecordThatIsTooLongIsNotFetched(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		mustSave(t, s, "c", snap(1, 1, "a", "1"))
		mustSave(t, s, "d", snap(1, 1, "a", "1"))
		_, err := s.AcquireLease(ctx, "l", "me", time.Minute, 1)
		require.NoError(t, err)
		fence, lease := e.side("c", "f"), e.side("l", "lease")
		const huge = 32 << 20
		e.set(fence, e.get(fence)+strings.Repeat(" 00000000000000000001,w,c", huge/25))
		e.set(lease, e.get(lease)+strings.Repeat("x", huge))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for op, err := range map[string]error{
			"save": s.Save(ctx, "c", snap(1, 2, "b", "2")), "repeat": s.Save(ctx, "c", snap(1, 1, "a", "1")), "claim": s.Claim(ctx, "c", 7), "delete": s.Delete(ctx, "c"),
			"load": second(s.Load(ctx, "c")), "fence": second(s.Fence(ctx, "c")), "history": second(s.History(ctx, "c")), "version": second(s.LoadVersion(ctx, "c", 1)),
			"lease": second(s.LoadLease(ctx, "l")), "acquire": second(s.AcquireLease(ctx, "l", "other", time.Minute, 1)),
		} {
			require.ErrorIs(t, err, store.ErrPermanent, op)
			require.Less(t, len(err.Error()), 1000, op)
		}
		snaps := s.TakeOver(ctx, []string{"c", "d"}, 9)
		require.Nil(t, snaps[0])
		runtime.ReadMemStats(&after)
		if e.mini == nil { // which is in this process
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
		}
	})
}

func TestNoNumberWrapsAround(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		require.NoError(t, s.Claim(ctx, "c", math.MaxUint64))
		mustSave(t, s, "c", snap(math.MaxUint64, math.MaxUint64, "a", "last"))
		require.ErrorIs(t, s.Delete(ctx, "c"), store.ErrPermanent)
		require.Equal(t, "last", string(loaded(t, s, "c").Data))
		_, err := s.AcquireLease(ctx, "l", "a", time.Millisecond, math.MaxUint64)
		require.NoError(t, err)
		_, err = s.AcquireLease(ctx, "l", "a", time.Minute, 1)
		require.ErrorIs(t, err, store.ErrPermanent)
	})
}
