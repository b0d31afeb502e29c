package durable_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestErrorsNameOperationComponentAdapterAndFence(t *testing.T) {
	a := durable.NewMemoryAdapter(nil)
	require.NoError(t, a.SaveState(t.Context(), "c", testkit.Snapshot(5, 3, "x")))
	err := a.SaveState(t.Context(), "c", testkit.Snapshot(4, 4, "secret"))
	require.EqualError(t, err, `durable: memory: save "c": fenced by a newer owner: epoch 4 is below 5 (fence: epoch 5, version 3)`)
	var e *durable.Error
	require.True(t, errors.As(err, &e))
	require.Equal(t, "save", e.Op)
	require.Equal(t, "c", e.ComponentID)
	require.Equal(t, "memory", e.Adapter)
}
