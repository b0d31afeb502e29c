package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/store"
)

func TestErrorsAreAnswersOrFailuresToGetOne(t *testing.T) {
	for _, c := range []struct {
		err     error
		outcome store.Outcome
		answer  bool
	}{
		{store.ErrNotFound, store.FirstBoot, true},
		{store.ErrExpired, store.Expired, true},
		{store.ErrLost, store.Lost, true},
		{store.ErrCorrupt, store.Corrupt, true},
		{store.ErrTooNew, store.TooNew, true},
		{store.ErrTooLarge, store.Unreachable, true},
		{store.ErrClosed, store.Unreachable, true},
		{store.ErrInvalidID, store.Unreachable, true},
		{store.ErrOutclaimed, store.Unreachable, true},
		{store.ErrFenced, store.Unreachable, false},
		{store.ErrConflict, store.Unreachable, false},
		{store.ErrLeaseHeld, store.Unreachable, false},
		{store.ErrNotDurable, store.Unreachable, false},
		{store.ErrNotRestored, store.Unreachable, false},
		{store.ErrNotRegistered, store.Unreachable, false},
		{context.DeadlineExceeded, store.Unreachable, false},
		{context.Canceled, store.Unreachable, false},
		{errUnreachable, store.Unreachable, false},
		{fmt.Errorf("%w: behind the first: %w", store.ErrCorrupt, store.ErrTooNew), store.TooNew, true},
		{fmt.Errorf("%w: %w", errUnreachable, store.ErrCorrupt), store.Corrupt, true},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			for _, err := range []error{c.err, store.Answer(store.Fence{Epoch: 1}, c.err, "detail"), fmt.Errorf("load: %w", c.err)} {
				require.Equal(t, c.outcome, store.OutcomeOf(err))
				require.Equal(t, c.answer, store.IsAnswer(err))
			}
		})
	}
}

func TestARefusedClaimIsAnAnswerAndKeepsItsFence(t *testing.T) {
	refused := store.Answer(store.Fence{Epoch: 9, Version: 3}, store.ErrFenced, "")
	err := store.Outclaimed(refused)
	require.ErrorIs(t, err, store.ErrOutclaimed)
	require.ErrorIs(t, err, store.ErrFenced)
	require.True(t, store.IsAnswer(err))
	require.Equal(t, store.Fence{Epoch: 9, Version: 3}, store.FenceOf(err))

	other := errors.New("connection refused")
	require.Equal(t, other, store.Outclaimed(other))
	require.NoError(t, store.Outclaimed(nil))
}
