package compat_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
)

var ctx = context.Background()

// An adapter can do everything that the adapters of this module can.
type adapter interface {
	durable.StateAdapter
	durable.Owner
	durable.Historian
}

const (
	firstEpoch  = 7 // of the owner that saves
	secondEpoch = 9 // of the one that supersedes it
	keep        = 3
	bundled     = "bundled-"
)

// A story saves what a golden store is to hold, and keeps account of it.
type story struct {
	t    *testing.T
	a    adapter
	want expectation
	mu   sync.Mutex
}

// tell writes everything that both kinds of stores can hold.
func tell(t *testing.T, a adapter) *story {
	s := &story{t: t, a: a, want: expectation{Components: map[string]component{}, Leases: map[string]lease{}}}
	s.save("one", 1, "json", []byte(`{"n":1}`))
	for v := range uint64(5) {
		s.save("five", v+1, "json", fmt.Appendf(nil, `{"n":%d}`, v+1))
		s.save("fell-back", v+1, "json", fmt.Appendf(nil, `{"n":%d}`, v+1))
	}
	s.save("日本 語/é%{}*", 1, "json", []byte(`{"unicode":"日本"}`))
	s.save("empty", 1, "", []byte{})
	s.save("binary", 4, "binary", everyByte())
	s.save("newlines", 1, "text", []byte("\nDURABLE 01 not an envelope\r\n"))
	s.save("large", 1, "text", []byte(strings.Repeat("eighty kilobytes\n", 5000)))
	s.save("corrupt", 1, "json", []byte(`{"n":1}`))
	s.saveTogether()
	s.delete("deleted")
	s.supersede("superseded")
	s.claim("claimed")
	s.leases()
	s.run()
	return s
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func (s *story) save(id string, version uint64, codec string, data []byte) {
	snap := &durable.Snapshot{
		Epoch: firstEpoch, Version: version, WriteID: fmt.Sprintf("write%d", version), Schema: int(version), Codec: codec,
		SavedAt: time.Date(2025, 11, 22, 20, 0, int(version), 0, time.UTC), Data: bytes.Clone(data),
	}
	require.NoError(s.t, s.a.SaveState(ctx, id, snap))
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.want.Components[id]
	c.Generations = append([]generation{{
		Epoch: snap.Epoch, Version: version, WriteID: snap.WriteID, Schema: snap.Schema, Codec: codec,
		SavedAt: snap.SavedAt, Bytes: len(data), SHA256: sum(data),
	}}, c.Generations...)
	c.Generations = c.Generations[:min(len(c.Generations), keep)]
	c.FenceEpoch, c.FenceVersion = firstEpoch, version
	s.want.Components[id] = c
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// saveTogether has saves wait for each other, so that some share a commit.
func (s *story) saveTogether() {
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() { s.save(fmt.Sprintf("%s%02d", bundled, i), 1, "json", fmt.Appendf(nil, `{"n":%d}`, i)) })
	}
	all.Wait()
}

// change notes what happened to the component without a save.
func (s *story) change(id string, fn func(*component)) {
	c := s.want.Components[id]
	fn(&c)
	s.want.Components[id] = c
}

func (s *story) delete(id string) {
	s.save(id, 1, "json", []byte(`{"n":1}`))
	require.NoError(s.t, s.a.DeleteState(ctx, id))
	s.change(id, func(c *component) { *c = component{Answer: "not found", FenceEpoch: firstEpoch + 1, FenceVersion: 1} })
}

func (s *story) supersede(id string) {
	s.save(id, 1, "json", []byte(`{"n":1}`))
	require.NoError(s.t, s.a.ClaimState(ctx, id, secondEpoch))
	s.change(id, func(c *component) { c.FenceEpoch = secondEpoch })
}

func (s *story) claim(id string) {
	require.NoError(s.t, s.a.ClaimState(ctx, id, secondEpoch))
	s.change(id, func(c *component) { *c = component{Answer: "not found", FenceEpoch: secondEpoch} })
}

func (s *story) leases() {
	for _, name := range []string{"", "held", "released", "系统"} {
		l, err := s.a.AcquireLease(ctx, name, "pod-"+name, time.Second)
		require.NoError(s.t, err)
		require.NoError(s.t, s.a.RenewLease(ctx, l))
		if name == "released" {
			require.NoError(s.t, s.a.ReleaseLease(ctx, l))
		}
		s.want.Leases[name] = lease{Holder: l.Holder, Epoch: l.Epoch, Released: l.Released}
	}
}

// The program whose state is part of every golden store.
const program = "fraud-detection"

type ledger struct{ Entries map[string]int64 }

func programOptions(holder string) *durable.Options {
	return &durable.Options{System: program, Holder: holder, MaxCrashRestarts: 5}
}

// run has a whole program leave its state, in an orderly way.
func (s *story) run() {
	books := durable.NewStatefulComponent(ledger{})
	cp := durable.New(s.a, programOptions("writer"))
	require.NoError(s.t, cp.Register("ledger", books))
	_, err := cp.Restore(ctx)
	require.NoError(s.t, err)
	entries := map[string]int64{"alice": 12, "bob": -7, "zoë": 1 << 60}
	require.NoError(s.t, books.Commit(ctx, func(l *ledger) { l.Entries = maps.Clone(entries) }))
	require.NoError(s.t, cp.Close())
	s.want.Program = entries
}
