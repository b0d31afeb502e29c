package redisstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/store"
)

// aside returns the names of what s set aside.
func aside(t *testing.T, s *redisstore.Store) (names []string) {
	for name, err := range s.ListDamaged(ctx) {
		require.NoError(t, err)
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestDamagedValuesStayUntilAPersonRemovesThem(t *testing.T) {
	for _, id := range []string{"c", "app/{x}:x:1", strings.Repeat("long", 60)} {
		each(t, func(t *testing.T, e *env) {
			s := e.open(redisstore.Options{})
			var want []string
			for v := uint64(1); v <= 6; v++ {
				mustSave(t, s, id, snap(1, v, "a", "x"))
				if v < 6 {
					e.damage(e.client.Keys(ctx, e.prefix+"*").Val()[0])
					want = append(want, fmt.Sprintf("%d/%s", v, id))
				}
			}
			require.Equal(t, want, aside(t, s))
			require.NoError(t, s.Delete(ctx, id))
			require.Equal(t, want, aside(t, s), "the state was deleted, not these")
			for _, name := range want {
				b, err := s.ReadDamaged(ctx, name)
				require.NoError(t, err)
				require.Contains(t, string(b), "DURABLE 01")
				require.NoError(t, s.RemoveDamaged(ctx, name))
				require.ErrorIs(t, s.RemoveDamaged(ctx, name), store.ErrNotFound)
				_, err = s.ReadDamaged(ctx, name)
				require.ErrorIs(t, err, store.ErrNotFound)
			}
			require.Empty(t, aside(t, s))
		})
	}
}

// Somebody who puts the same bytes in place of each save does not fill the server.
func TestDamageThatComesAgainIsKeptOnce(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		for v := uint64(1); v <= 20; v++ {
			mustSave(t, s, "c", snap(1, v, "a", "x"))
			e.set(e.key("c"), fmt.Sprint("DURABLE, but not a state ", v%2))
		}
		mustSave(t, s, "c", snap(1, 21, "a", "good"))
		require.Equal(t, []string{"1/c", "2/c"}, aside(t, s))
		require.Equal(t, "good", string(loaded(t, s, "c").Data))
	})
}

func TestAHandWrittenCountOfWhatIsSetAsideLosesNoSave(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.open(redisstore.Options{})
		mustSave(t, s, "c", snap(1, 1, "a", "1"))
		fence := e.side("c", "f")
		e.set(fence, strings.Replace(e.get(fence), " 0000000000 ", " 9999999999 ", 1))
		e.damage(e.key("c"))
		err := s.Save(ctx, "c", snap(1, 2, "b", "2"))
		require.ErrorIs(t, err, store.ErrPermanent)
		_, err = s.Load(ctx, "c")
		require.ErrorIs(t, err, store.ErrPermanent)
	})
}
