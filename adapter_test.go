package durable_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

func TestEncodedSnapshotsComeBack(t *testing.T) {
	want := testkit.Snapshot(7, 8, "{\"a\":1}\n")
	want.Schema, want.SavedAt = 3, time.Date(2025, 11, 22, 20, 0, 0, 42, time.UTC)
	b, err := durable.EncodeSnapshot("é/1", want)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(b), "\n"+string(want.Data)), "the payload stands behind the header as it is")
	got, err := durable.DecodeSnapshot("é/1", b)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestDecodeSnapshotSharesNoMemory(t *testing.T) {
	b, err := durable.EncodeSnapshot("c", testkit.Snapshot(1, 1, "state"))
	require.NoError(t, err)
	s, err := durable.DecodeSnapshot("c", b)
	require.NoError(t, err)
	clear(b)
	require.Equal(t, "state", string(s.Data))

	plain := []byte(`{"a":1}`)
	s, err = durable.DecodeSnapshot("c", plain)
	require.NoError(t, err)
	clear(plain)
	require.Equal(t, `{"a":1}`, string(s.Data))
}

func TestDecodeSnapshotReadsPlainJSONObjectsAsVersionZero(t *testing.T) {
	s, err := durable.DecodeSnapshot("c", []byte(`{"a":1}`))
	require.NoError(t, err)
	require.Equal(t, &durable.Snapshot{Codec: "json", Data: []byte(`{"a":1}`)}, s)
}

func TestDecodeSnapshotTellsCorruptFromTooNew(t *testing.T) {
	good, err := durable.EncodeSnapshot("c", testkit.Snapshot(1, 1, `{"a":1}`))
	require.NoError(t, err)
	for name, b := range map[string][]byte{
		"nothing":            nil,
		"no object":          []byte(`[1]`),
		"half an object":     []byte(`{"a":`),
		"half an envelope":   good[:len(good)-1],
		"without its header": good[len(good)-2:],
		"something follows":  append([]byte(string(good)), ' '),
	} {
		s, err := durable.DecodeSnapshot("c", b)
		require.ErrorIs(t, err, durable.ErrCorrupt, name)
		require.Nil(t, s, name)
	}
	_, err = durable.DecodeSnapshot("d", good)
	require.ErrorIs(t, err, durable.ErrCorrupt, "of another component")
	_, err = durable.DecodeSnapshot("c", testkit.FromTheFuture(good))
	require.ErrorIs(t, err, durable.ErrTooNew)
	require.NotErrorIs(t, err, durable.ErrCorrupt)
}

func TestEncodeSnapshotRefusesWhatItCannotHold(t *testing.T) {
	_, err := durable.EncodeSnapshot("", testkit.Snapshot(1, 1, "x"))
	require.ErrorIs(t, err, durable.ErrInvalidID)
	s := testkit.Snapshot(1, 1, "x")
	s.WriteID = ""
	_, err = durable.EncodeSnapshot("c", s)
	var e *durable.Error
	require.True(t, errors.As(err, &e))
	require.Equal(t, "encode", e.Op)
	require.Equal(t, "c", e.ComponentID)
}

func TestNoStateIsPartOfAnError(t *testing.T) {
	good, err := durable.EncodeSnapshot("c", testkit.Snapshot(1, 1, "topsecret"))
	require.NoError(t, err)
	for i := range good {
		b := []byte(string(good))
		b[i] ^= 0x10
		_, err := durable.DecodeSnapshot("c", b)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "topsecret")
	}
}
