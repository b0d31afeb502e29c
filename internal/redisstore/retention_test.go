package redisstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/store"
)

// kept returns the versions that s shows of id.
func kept(t *testing.T, s *redisstore.Store, id string) (versions []uint64) {
	t.Helper()
	infos, err := s.History(ctx, id)
	require.NoError(t, err)
	for _, i := range infos {
		require.NoError(t, i.Err)
		_, err := s.LoadVersion(ctx, id, i.Version)
		require.NoError(t, err)
		versions = append(versions, i.Version)
	}
	return versions
}

func TestAToolCostsNoGeneration(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		for way, data := range saving {
			for _, keep := range []int{1, 10, 100} {
				id := fmt.Sprint(way, keep)
				owner := e.open(redisstore.Options{Keep: keep, TTL: time.Hour})
				version := uint64(0)
				for range keep + 2 {
					version++
					mustSave(t, owner, id, snap(1, version, "w", data))
				}
				require.Len(t, kept(t, owner, id), keep)
				tool, preserving := e.open(redisstore.Options{Keep: 1}), store.Preserve(ctx)
				require.Len(t, kept(t, tool, id), keep, "it shows all there is")
				for range 3 {
					version++
					require.NoError(t, tool.Save(preserving, id, snap(2, version, "w", data)))
					again := snap(2, version, "w", data)
					again.Data = nil
					require.NoError(t, tool.Save(preserving, id, again), "refreshed")
				}
				require.Len(t, kept(t, tool, id), keep+3)
				mustSave(t, owner, id, snap(3, version+1, "w", data))
				require.Len(t, kept(t, owner, id), keep, "the owner's next save trims")
			}
		}
	})
}

// What a rollback goes back to may be all that is left.
func TestAToolThatSavesAnExpiredStateLosesNoGeneration(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		owner := e.open(redisstore.Options{Keep: 3, TTL: time.Hour})
		for v := range uint64(3) {
			mustSave(t, owner, "c", snap(1, v+1, "w", "x"))
		}
		line := e.get(e.side("c", "f"))
		e.set(e.side("c", "f"), line[:63]+fmt.Sprintf("%013d", time.Now().Add(-time.Minute).UnixMilli())+line[76:])
		require.NoError(t, e.client.Del(ctx, e.key("c")).Err())
		_, err := owner.Load(ctx, "c")
		require.ErrorIs(t, err, store.ErrExpired)
		require.NoError(t, owner.Save(store.Preserve(ctx), "c", snap(1, 4, "w", "x")))
		require.Equal(t, []uint64{4, 2, 1}, kept(t, owner, "c"))
	})
}
