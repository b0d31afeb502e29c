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
		class   store.Class
	}{
		{store.ErrNotFound, store.FirstBoot, store.Permanent},
		{store.ErrExpired, store.Expired, store.Permanent},
		{store.ErrLost, store.Lost, store.Permanent},
		{store.ErrCorrupt, store.Corrupt, store.Permanent},
		{store.ErrTooNew, store.TooNew, store.Permanent},
		{store.ErrTooLarge, store.Unreachable, store.Permanent},
		{store.ErrClosed, store.Unreachable, store.Permanent},
		{store.ErrInvalidID, store.Unreachable, store.Permanent},
		{store.ErrOutclaimed, store.Unreachable, store.Permanent},
		{store.ErrPermanent, store.Unreachable, store.Permanent},
		{store.MarkPermanent(errUnreachable), store.Unreachable, store.Permanent},
		{store.ErrFenced, store.Unreachable, store.Refused},
		{store.ErrConflict, store.Unreachable, store.Refused},
		{store.ErrLeaseHeld, store.Unreachable, store.Refused},
		{store.ErrNotRestored, store.Unreachable, store.Refused},
		{store.ErrNotRegistered, store.Unreachable, store.Refused},
		{store.ErrNotDurable, store.Unreachable, store.BelowLevel},
		{fmt.Errorf("%w: %w", store.ErrNotDurable, store.MarkPermanent(errUnreachable)), store.Unreachable, store.BelowLevel},
		{context.DeadlineExceeded, store.Unreachable, store.Unreached},
		{context.Canceled, store.Unreachable, store.Unreached},
		{errUnreachable, store.Unreachable, store.Unreached},
		{fmt.Errorf("%w: behind the first: %w", store.ErrCorrupt, store.ErrTooNew), store.TooNew, store.Permanent},
		{fmt.Errorf("%w: %w", errUnreachable, store.ErrCorrupt), store.Corrupt, store.Permanent},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			for _, err := range []error{c.err, store.Answer(store.Fence{Epoch: 1}, c.err, "detail"), fmt.Errorf("load: %w", c.err)} {
				require.Equal(t, c.outcome, store.OutcomeOf(err))
				require.Equal(t, c.class, store.ClassOf(err))
				require.Equal(t, c.class == store.Permanent, store.IsAnswer(err))
				require.Equal(t, c.class == store.BelowLevel, store.IsStored(err))
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

func TestAMarkChangesTheClassAndNothingElse(t *testing.T) {
	require.NoError(t, store.MarkPermanent(nil))
	require.True(t, store.IsStored(nil))
	require.Equal(t, store.Done, store.ClassOf(nil))
	marked := store.MarkPermanent(errUnreachable)
	require.EqualError(t, marked, errUnreachable.Error())
	require.ErrorIs(t, marked, errUnreachable)
	require.ErrorIs(t, marked, store.ErrPermanent)
	require.Equal(t, marked, store.MarkPermanent(marked))
}
