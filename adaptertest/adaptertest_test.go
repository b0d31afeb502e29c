package adaptertest_test

import (
	"testing"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/adaptertest"
)

func openMemory(*testing.T) durable.StateAdapter { return durable.NewMemoryAdapter(nil) }

func TestMemoryAdapterPassesWithoutHooks(t *testing.T) {
	adaptertest.Run(t, adaptertest.Store{Open: openMemory})
}
