package survey_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
)

// below stores everything and confirms nothing as durably as configured.
type below struct{ *durable.MemoryAdapter }

func short(err error) error {
	if err == nil {
		return fmt.Errorf("%w: 0 of 1 replicas", durable.ErrNotDurable)
	}
	return err
}

func (b below) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	return short(b.MemoryAdapter.SaveState(ctx, id, s))
}

func (b below) DeleteState(ctx context.Context, id string) error {
	return short(b.MemoryAdapter.DeleteState(ctx, id))
}

func (b below) ClaimState(ctx context.Context, id string, epoch uint64) error {
	return short(b.MemoryAdapter.ClaimState(ctx, id, epoch))
}

func (b below) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*durable.Lease, error) {
	l, err := b.MemoryAdapter.AcquireLease(ctx, name, holder, ttl)
	return l, short(err)
}

func TestAMissingReplicaStopsNoCommandHalfway(t *testing.T) {
	ctx := t.Context()
	s, err := survey.New(below{durable.NewMemoryAdapter(nil)}, "")
	require.NoError(t, err)
	said := 0
	s.Say = func(string, ...any) { said++ }
	l, err := s.AcquireLease(ctx, "", "durable", time.Minute)
	require.NoError(t, err)
	require.NoError(t, s.ClaimState(ctx, "c", l.Epoch))
	require.NoError(t, s.SaveState(ctx, "c", &durable.Snapshot{Epoch: l.Epoch, Version: 1, Codec: "json", Data: []byte("1")}))
	require.NoError(t, s.DeleteState(ctx, "c"))
	require.Equal(t, 1, said)
	require.ErrorIs(t, s.ClaimState(ctx, "c", 1), durable.ErrFenced)
}
