package component_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

type touchyState struct{ N int }

var touch struct {
	sync.Mutex
	init, schema bool
}

func touching(init, schema bool) {
	touch.Lock()
	defer touch.Unlock()
	touch.init, touch.schema = init, schema
}

func (*touchyState) InitState() {
	touch.Lock()
	defer touch.Unlock()
	if touch.init {
		panic("InitState")
	}
}

func (*touchyState) StateSchema() int {
	touch.Lock()
	defer touch.Unlock()
	if touch.schema {
		panic("StateSchema")
	}
	return 1
}

func (*touchyState) MigrateState(int, []byte) ([]byte, error) { return nil, errors.New("no") }

func TestAPanicInInitStateOrStateSchemaLeavesTheStateUsable(t *testing.T) {
	defer touching(false, false)
	ctx := t.Context()
	a := durable.NewMemoryAdapter(nil)
	cp := durable.New(a, testkit.Quiet())
	var c durable.StatefulComponent[touchyState]
	require.NoError(t, cp.Register("c", &c))
	_, err := cp.Restore(ctx)
	require.NoError(t, err)
	require.NoError(t, c.Commit(ctx, func(s *touchyState) { s.N = 1 }))
	c.Update(func(s *touchyState) { s.N = 2 })

	touching(false, true)
	require.ErrorContains(t, c.CheckpointState(ctx), "panic")
	touching(true, false)
	report, err := cp.Restore(ctx)
	require.ErrorContains(t, err, "panic")
	require.Equal(t, durable.Rejected, report.Results[0].Outcome)
	read := make(chan int)
	go c.View(func(s *touchyState) { read <- s.N })
	select {
	case n := <-read:
		require.Equal(t, 2, n, "after an error the state is as it was before")
	case <-time.After(5 * time.Second):
		t.Fatal("the lock of the state is held for ever")
	}
	require.NoError(t, a.DeleteState(ctx, "c"))
	_, err = cp.Restore(ctx) // fresh, which calls InitState
	require.ErrorContains(t, err, "panic")
	touching(false, false)
	require.Error(t, cp.Close(), "2 was never saved")
}
