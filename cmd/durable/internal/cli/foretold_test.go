package cli_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// A scene is a store in the making: what it holds of the component app/left, by
// itself and in the set.
type scene struct {
	t *testing.T
	p *place
	a adapter
}

func (s *scene) own(epoch, version uint64) {
	save(s.t, s.a, "app/left", epoch, version, fmt.Sprintf(`{"own":%d}`, version))
}

func (s *scene) set(epoch, version uint64) {
	saveSet(s.t, s.a, "app/~set", epoch, version, "other", "left")
}

// setOf saves a set of the component other and what follows it.
func (s *scene) setOf(epoch, version uint64, behind []byte) {
	saveSet(s.t, s.a, "app/~set", epoch, version, "other")
	whole, err := s.a.LoadState(ctx, "app/~set")
	require.NoError(s.t, err)
	save(s.t, s.a, "app/~set", epoch, version+1, string(append(whole.Data, behind...)))
}

func (s *scene) delete(id string) { require.NoError(s.t, s.a.DeleteState(ctx, id)) }

func (s *scene) claim(id string, epoch uint64) { require.NoError(s.t, s.a.ClaimState(ctx, id, epoch)) }

// damage flips a bit in the state of a version, which is the newest.
func (s *scene) damage(id string, version uint64) {
	require.NoError(s.t, s.a.Close())
	if s.p.dir == "" {
		s.p.rot(s.t, id, 0)
	} else {
		s.damageFile(id, version)
	}
	s.a = s.p.open(s.t)
}

func (s *scene) damageFile(id string, version uint64) {
	files, err := filepath.Glob(filepath.Join(s.p.dir, "c-*"))
	require.NoError(s.t, err)
	header := regexp.MustCompile(fmt.Sprintf(`DURABLE 01 \d{20} %020d \S+ %s [^\n]*\n`, version, regexp.QuoteMeta(id)))
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(s.t, err)
		if at := header.FindIndex(b); at != nil {
			b[at[1]] ^= 1
			require.NoError(s.t, os.WriteFile(f, b, 0o600))
			return
		}
	}
	s.t.Fatalf("version %d of %s is not there", version, id)
}

// tooLarge saves a state and lowers the limit below it.
func (s *scene) tooLarge(save func(large string)) {
	if s.p.dir != "" {
		save(strings.Repeat("x", 10_000))
		s.p.config = yaml(s.t, "adapter: file\n  max_state_bytes: 5000\n  directory: "+s.p.dir)
		return
	}
	lower := s.a
	a, err := durable.OpenRedisAdapter(ctx, s.p.url, &durable.RedisOptions{KeyPrefix: s.p.prefix, MaxStateBytes: 64 << 20})
	require.NoError(s.t, err)
	defer func() { s.a = lower; a.Close() }()
	s.a = a
	save(strings.Repeat("x", 33<<20)) // the default is 32 MiB
}

func large(s *scene, id string, epoch, version uint64) {
	s.tooLarge(func(data string) { save(s.t, s.a, id, epoch, version, data) })
}

func member(t *testing.T, id string, kind envelope.Kind, epoch, version uint64) []byte {
	b, err := envelope.Append(nil, &envelope.Record{ID: id, Kind: kind, Snapshot: store.Snapshot{Epoch: epoch, Version: version, WriteID: "w", Data: []byte(`{}`)}})
	require.NoError(t, err)
	return b
}

// fromTheFuture is the header of a format to come.
func fromTheFuture() []byte {
	line := "DURABLE 02 0 "
	return fmt.Appendf(nil, "%s%08x 00000000 00000000\n", line, crc32.Checksum([]byte(line), crc32.MakeTable(crc32.Castagnoli)))
}

// scenes are what a restart may find, and what it makes of it: the outcome, the
// version, and whether it is the set's.
var scenes = []struct {
	name    string
	play    func(s *scene)
	outcome durable.Outcome
	version uint64
	in      bool
	on      string // the only kind of store
}{
	{name: "nothing", play: func(s *scene) { s.claim("app/left", 9); s.claim("app/~set", 9) }, outcome: durable.FirstBoot},
	{name: "by itself", play: func(s *scene) { s.own(1, 5) }, outcome: durable.Restored, version: 5},
	{name: "in the set", play: func(s *scene) { s.set(1, 5) }, outcome: durable.Restored, version: 5, in: true},
	{name: "own is newer", play: func(s *scene) { s.set(1, 5); s.own(2, 6) }, outcome: durable.Restored, version: 6},
	{name: "the set is newer", play: func(s *scene) { s.own(1, 5); s.set(2, 6) }, outcome: durable.Restored, version: 6, in: true},
	{name: "own has the higher epoch and the lower version", play: func(s *scene) { s.set(1, 9); s.own(2, 6) }, outcome: durable.Restored, version: 6},
	{name: "the set has the higher epoch and the lower version", play: func(s *scene) { s.own(1, 9); s.set(2, 6) }, outcome: durable.Restored, version: 6, in: true},
	{name: "own has the higher version in one epoch", play: func(s *scene) { s.set(1, 5); s.own(1, 6) }, outcome: durable.Restored, version: 6},
	{name: "the same version in one epoch", play: func(s *scene) { s.set(1, 5); s.own(1, 5) }, outcome: durable.Restored, version: 5, in: true},
	{name: "a claim is no state", play: func(s *scene) { s.own(1, 5); s.set(2, 6); s.claim("app/left", 9) }, outcome: durable.Restored, version: 6, in: true},

	{name: "the newer set was deleted", play: func(s *scene) { s.own(1, 5); s.set(2, 6); s.delete("app/~set") }, outcome: durable.FirstBoot, in: true},
	{name: "the older set was deleted", play: func(s *scene) { s.set(1, 5); s.own(2, 6); s.delete("app/~set") }, outcome: durable.Restored, version: 6},
	{name: "the newer own was deleted", play: func(s *scene) { s.set(1, 5); s.own(2, 6); s.delete("app/left") }, outcome: durable.FirstBoot},
	{name: "the older own was deleted", play: func(s *scene) { s.own(1, 5); s.set(2, 6); s.delete("app/left") }, outcome: durable.Restored, version: 6, in: true},
	{name: "removed from the set", play: func(s *scene) { s.own(1, 5); s.setOf(2, 6, member(s.t, "left", envelope.Deletion, 2, 6)) }, outcome: durable.FirstBoot, in: true},
	{name: "saved by itself since it was removed", play: func(s *scene) { s.setOf(2, 6, member(s.t, "left", envelope.Deletion, 2, 6)); s.own(3, 9) },
		outcome: durable.Restored, version: 9},
	{name: "a plain value", play: func(s *scene) {
		require.NoError(s.t, sharedClient(s.t).Set(ctx, s.p.prefix+"app/left", `{"n":1}`, 0).Err())
	},
		outcome: durable.Restored, on: "redis"},
	{name: "a plain value beside a set", play: func(s *scene) {
		s.set(1, 5)
		require.NoError(s.t, sharedClient(s.t).Set(ctx, s.p.prefix+"app/left", `{"n":1}`, 0).Err())
	}, outcome: durable.Restored, version: 5, in: true, on: "redis"},

	{name: "the newest own does not verify, the set is older", play: func(s *scene) { s.own(1, 4); s.set(2, 5); s.own(3, 6); s.damage("app/left", 6) },
		outcome: durable.FellBack, version: 5, in: true},
	{name: "the newest own does not verify, the set is newer", play: func(s *scene) { s.own(1, 4); s.own(1, 5); s.set(2, 6); s.damage("app/left", 5) },
		outcome: durable.Restored, version: 6, in: true},
	{name: "the newest own does not verify and is of one epoch with the set", play: func(s *scene) { s.own(1, 4); s.set(1, 5); s.own(1, 6); s.damage("app/left", 6) },
		outcome: durable.FellBack, version: 4},
	{name: "the newest set does not verify, own is older", play: func(s *scene) { s.set(1, 4); s.own(2, 5); s.set(3, 6); s.damage("app/~set", 6) },
		outcome: durable.FellBack, version: 5},
	{name: "the newest set does not verify, own is newer", play: func(s *scene) { s.set(1, 4); s.set(1, 5); s.own(2, 6); s.damage("app/~set", 5) },
		outcome: durable.Restored, version: 6},
	{name: "the newest set does not verify and is of one epoch with own", play: func(s *scene) { s.set(1, 4); s.own(1, 5); s.set(1, 6); s.damage("app/~set", 6) },
		outcome: durable.FellBack, version: 5},
	{name: "the newest of neither verifies", play: func(s *scene) {
		s.own(1, 3)
		s.set(2, 4)
		s.own(3, 5)
		s.set(4, 6)
		s.damage("app/left", 5)
		s.damage("app/~set", 6)
	}, outcome: durable.FellBack, version: 4, in: true},
	{name: "nothing of the newer own verifies", play: func(s *scene) { s.set(1, 5); s.own(2, 6); s.damage("app/left", 6) }, outcome: durable.Corrupt, version: 6},
	{name: "nothing of the older own verifies", play: func(s *scene) { s.own(1, 5); s.set(2, 6); s.damage("app/left", 5) }, outcome: durable.Restored, version: 6, in: true},
	{name: "nothing of the newer set verifies", play: func(s *scene) { s.own(1, 5); s.set(2, 6); s.damage("app/~set", 6) }, outcome: durable.Corrupt, version: 6, in: true},
	{name: "nothing of the older set verifies", play: func(s *scene) { s.set(1, 5); s.own(2, 6); s.damage("app/~set", 5) }, outcome: durable.Restored, version: 6},
	{name: "the newer own was lost", play: func(s *scene) { s.set(1, 5); s.own(2, 6); s.lose("app/left") }, outcome: durable.Lost, version: 6, on: "redis"},
	{name: "the older own was lost", play: func(s *scene) { s.own(1, 5); s.set(2, 6); s.lose("app/left") }, outcome: durable.Restored, version: 6, in: true, on: "redis"},
	{name: "the newer set was lost", play: func(s *scene) { s.own(1, 5); s.set(2, 6); s.lose("app/~set") }, outcome: durable.Lost, version: 6, in: true, on: "redis"},

	{name: "its part of the newer set is damaged", play: func(s *scene) { s.own(1, 5); s.setOf(2, 6, rotten(member(s.t, "left", envelope.Snapshot, 2, 7))) },
		outcome: durable.Corrupt, version: 7, in: true},
	{name: "its part of the older set is damaged", play: func(s *scene) { s.setOf(1, 5, rotten(member(s.t, "left", envelope.Snapshot, 1, 6))); s.own(2, 9) },
		outcome: durable.Restored, version: 9},
	{name: "the newer set cannot be read to its end", play: func(s *scene) { s.own(1, 5); s.setOf(2, 6, []byte("DURABLE")) }, outcome: durable.Corrupt, version: 7, in: true},
	{name: "the older set cannot be read to its end", play: func(s *scene) { s.setOf(1, 5, []byte("DURABLE")); s.own(2, 9) }, outcome: durable.Restored, version: 9},
	{name: "the newer set has parts of a newer program", play: func(s *scene) { s.own(1, 5); s.setOf(2, 6, fromTheFuture()) }, outcome: durable.TooNew, version: 7, in: true},
	{name: "the set has it once more", play: func(s *scene) {
		left := member(s.t, "left", envelope.Snapshot, 2, 7)
		s.setOf(2, 6, append(left, left...))
	}, outcome: durable.Restored, version: 7, in: true},

	// A store knows the version of what it does not read.
	{name: "the newer own is too large", play: func(s *scene) { s.set(1, 5); large(s, "app/left", 2, 6) }, outcome: durable.Unreachable},
	{name: "the older own is too large", play: func(s *scene) { large(s, "app/left", 1, 5); s.set(2, 6) },
		outcome: durable.Restored, version: 6, in: true},
	{name: "the newer set is too large", play: func(s *scene) { s.own(1, 5); large(s, "app/~set", 2, 6) }, outcome: durable.Unreachable, in: true},
	{name: "the older set is too large", play: func(s *scene) { large(s, "app/~set", 1, 5); s.own(2, 6) },
		outcome: durable.Restored, version: 6},
}

func (s *scene) lose(id string) {
	require.NoError(s.t, sharedClient(s.t).Del(ctx, s.p.prefix+id).Err())
}

func rotten(b []byte) []byte {
	b[len(b)-1] ^= 1
	return b
}

// TestTheToolForetellsWhatTheLibraryRestores plays each scene for ls and show, for
// drill, and for a program in either mode.
func TestTheToolForetellsWhatTheLibraryRestores(t *testing.T) {
	for kind, newPlace := range map[string]func(*testing.T) *place{"file": filePlace, "redis": redisPlace} {
		for _, sc := range scenes {
			if sc.on != "" && sc.on != kind {
				continue
			}
			for _, cut := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/consistent=%v", kind, sc.name, cut), func(t *testing.T) {
					t.Parallel()
					s := &scene{t, newPlace(t), nil}
					s.a = s.p.open(t)
					sc.play(s)
					require.NoError(t, s.a.Close())

					told := foretold(t, s.p)
					res := restoredBy(t, s.p, cut)
					require.Equal(t, sc.outcome, res.Outcome, "%+v", res)
					require.Equal(t, sc.outcome, outcomeOf(told.Verdict), "%+v", told)
					require.Equal(t, sc.in, told.In != "")
					if sc.outcome == durable.Restored || sc.outcome == durable.FellBack {
						require.Equal(t, [2]uint64{sc.version, sc.version}, [2]uint64{res.Version, told.Version})
					} else if sc.version > 0 {
						require.Equal(t, [2]uint64{sc.version, sc.version}, [2]uint64{res.Version, told.LastVersion})
					}
				})
			}
		}
	}
}

// foretold is what ls says of the component. Drill must say the same.
func foretold(t *testing.T, p *place) survey.Component {
	s, err := survey.New(p.open(t), "app/")
	require.NoError(t, err)
	c := s.Sets().Restored(store.Observe(ctx), "app/left")
	var d struct {
		Problems []struct{ ID, Outcome string }
	}
	require.NoError(t, json.Unmarshal([]byte(run(t, "drill", "-c", p.config, "--json").out), &d))
	drilled := string(durable.Restored)
	for _, p := range d.Problems {
		if p.ID == "app/left" {
			drilled = p.Outcome
		}
	}
	if want := outcomeOf(c.Verdict); want != durable.FirstBoot || drilled != string(durable.Restored) { // of what nobody stored drill says nothing
		require.Equal(t, string(want), drilled, "ls says %+v", c)
	}
	return c
}

func outcomeOf(v survey.Verdict) durable.Outcome {
	switch v {
	case survey.OK, survey.Unverified:
		return durable.Restored
	case survey.Missing, survey.Removed:
		return durable.FirstBoot
	case survey.Unreadable:
		return durable.Unreachable
	}
	return durable.Outcome(v)
}

// anything is a component that takes any state.
type anything struct{}

func (anything) SnapshotState() ([]byte, error) { return []byte{}, nil }
func (anything) RestoreState([]byte) error      { return nil }
func (anything) StateSchema() int               { return 2 }

func (anything) MigrateState(_ int, data []byte) ([]byte, error) { return data, nil }

// restoredBy starts a program on the store.
func restoredBy(t *testing.T, p *place, cut bool) durable.RestoreResult {
	cp := durable.New(p.open(t), &durable.Options{System: "app", Holder: "pod-0", Interval: time.Hour, Consistent: cut, Restore: durable.FreshIfAbsent,
		Logger: slog.New(slog.DiscardHandler)})
	defer cp.Close()
	require.NoError(t, cp.Register("left", anything{}))
	report, _ := cp.Restore(ctx)
	res, ok := report.Component("left")
	require.True(t, ok)
	return res
}
