package filestore_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/store"
)

// A listing of a large directory takes several calls of the system. A name that
// appears between them may be missing from it although a later one is there.
func TestACommitThatAListingMissedIsNotForgotten(t *testing.T) {
	dir := t.TempDir()
	owner := open(t, dir)
	save(t, owner, "a", 1, 1, "old")
	heir, h := openHooked(t, dir)
	save(t, owner, "a", 1, 2, "acknowledged")
	missed := newest(t, dir)
	save(t, owner, "b", 1, 1, "later")
	h.listed = func(names []string) []string {
		h.listed = nil
		return slices.DeleteFunc(names, func(n string) bool { return dir+"/"+n == missed })
	}
	data, version, _ := loaded(t, heir, "a")
	require.Equal(t, "acknowledged", data)
	require.EqualValues(t, 2, version)
	h.listed = nil
	require.NoError(t, heir.Claim(ctx, "a", 2))
	require.ErrorIs(t, heir.Save(ctx, "a", snap(2, 2, "fork")), store.ErrConflict)
}
