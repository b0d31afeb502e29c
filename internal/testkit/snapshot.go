package testkit

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

// Snapshot returns a snapshot with a write id of its own for each version.
func Snapshot(epoch, version uint64, data string) *durable.Snapshot {
	return &durable.Snapshot{Epoch: epoch, Version: version, WriteID: fmt.Sprintf("w%d", version), Codec: "json", Data: []byte(data)}
}

// RequireFence fails t unless err carries that fence.
func RequireFence(t *testing.T, err error, epoch, version uint64) {
	t.Helper()
	var e *durable.Error
	require.True(t, errors.As(err, &e), "%v carries no *durable.Error", err)
	require.Equal(t, [2]uint64{epoch, version}, [2]uint64{e.Epoch, e.Version}, "fence in %v", err)
}

// FromTheFuture returns the envelope b as a program with format 2 would have
// written it: the fields in the middle may mean anything, the tail is intact.
func FromTheFuture(b []byte) []byte {
	head, payload, _ := strings.Cut(string(b), "\n")
	f := strings.Split(head, " ")
	f[1] = "02"
	f = append(f[:len(f)-3], "")
	line := strings.Join(f, " ")
	table := crc32.MakeTable(crc32.Castagnoli)
	line += fmt.Sprintf("%08x ", crc32.Checksum([]byte(line), table))
	c := crc32.Checksum([]byte(line+payload), table)
	i := crc32.ChecksumIEEE([]byte(line + payload))
	return fmt.Appendf(nil, "%s%08x %08x\n%s", line, c, i, payload)
}
