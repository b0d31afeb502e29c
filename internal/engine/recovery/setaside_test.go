package recovery_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/testkit"
)

// unreadableOK are options that start fresh whatever is stored.
func unreadableOK() *durable.Options {
	o := testkit.Quiet()
	o.Restore = durable.FreshIfUnreadable
	return o
}

// asides returns what is set aside, by id.
func asides(t *testing.T, a durable.StateAdapter) map[string]*durable.Snapshot {
	t.Helper()
	all := map[string]*durable.Snapshot{}
	for id, err := range a.(durable.Historian).ListComponents(t.Context()) {
		require.NoError(t, err)
		if strings.HasPrefix(id, "~aside/") {
			s, err := a.LoadState(t.Context(), id)
			require.NoError(t, err)
			all[id] = s
		}
	}
	return all
}

// requireAside fails unless exactly these texts are set aside, each in one copy.
func requireAside(t *testing.T, a durable.StateAdapter, texts ...string) {
	t.Helper()
	all := asides(t, a)
	require.Len(t, all, len(texts))
	for _, text := range texts {
		n := 0
		for _, s := range all {
			if bytes.Contains(s.Data, []byte(text)) {
				n++
			}
		}
		require.Equal(t, 1, n, text)
	}
}

// newer is the envelope of a release to come.
func newer(text string) []byte {
	head := []byte("DURABLE 02 what a newer release writes 9 ")
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	head = fmt.Appendf(head, "%08x", crc32.Checksum(head, castagnoli))
	return fmt.Appendf(nil, "%s %08x %08x\n%s", head, crc32.Checksum([]byte(text), castagnoli), crc32.ChecksumIEEE([]byte(text)), text)
}

// workOn restores on a, saves more often than generations are kept, and closes.
func workOn(t *testing.T, a durable.StateAdapter, o *durable.Options) durable.Outcome {
	t.Helper()
	h := testkit.Start(t, a, o)
	for i := range 6 {
		require.NoError(t, h.Words.Commit(context.Background(), func(c *testkit.Counts) { c.Words["fresh"] = i + 1 }))
	}
	require.NoError(t, h.Close())
	return h.Outcome(t)
}

func TestWhatIsSetAsideHasNoTTL(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			a := durable.NewMemoryAdapter(&durable.MemoryOptions{TTL: 10 * time.Minute})
			require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words": "months of work"}`)}))
			require.Equal(t, durable.Rejected, workOn(t, a, unreadableOK()))
			time.Sleep(time.Hour)
			requireAside(t, a, "months of work")
			_, err := a.LoadState(t.Context(), "words")
			require.ErrorIs(t, err, durable.ErrExpired)
		})
	})
	t.Run("redis_server", func(t *testing.T) {
		s, prefix := redistest.Shared(t), "aside:"+rand.Text()+":"
		a := testkit.OpenRedis(t, s.URL(), &durable.RedisOptions{KeyPrefix: prefix, TTL: time.Hour})
		large := strings.Repeat("months of work ", 10_000) // staged
		for _, text := range []string{"months of work", large} {
			require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words": "` + text + `"}`)}))
			require.Equal(t, durable.Rejected, workOn(t, a, unreadableOK()))
		}
		require.Len(t, asides(t, a), 2)
		for id := range asides(t, a) {
			require.Equal(t, time.Duration(-1), s.Client(t).PTTL(t.Context(), prefix+id).Val(), id)
		}
		require.Positive(t, s.Client(t).PTTL(t.Context(), prefix+"words").Val())
	})
}

func TestACorruptStateIsSetAsideOnEveryAdapter(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			a := durable.NewMemoryAdapter(nil)
			require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Data: []byte("months of work?")}))
			testkit.Memory(t, a).Corrupt("words")
			require.Equal(t, durable.Corrupt, workOn(t, a, unreadableOK()))
			requireAside(t, a, "months of work")
		})
	})
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		a, err := durable.NewFileAdapter(dir, nil)
		require.NoError(t, err)
		require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Data: []byte("months of work")}))
		require.NoError(t, a.Close())
		files, err := filepath.Glob(filepath.Join(dir, "c-*"))
		require.NoError(t, err)
		for _, f := range files {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			b = bytes.ReplaceAll(b, []byte("of work"), []byte("of rust"))
			require.NoError(t, os.WriteFile(f, b, 0o600))
		}
		if a, err = durable.NewFileAdapter(dir, nil); err == nil {
			defer a.Close()
		}
		require.NoError(t, err)
		require.Equal(t, durable.Corrupt, workOn(t, a, unreadableOK()))
		requireAside(t, a, "months of rust")
	})
	t.Run("redis_server", func(t *testing.T) {
		s, prefix := redistest.Shared(t), "aside:"+rand.Text()+":"
		a := testkit.OpenRedis(t, s.URL(), &durable.RedisOptions{KeyPrefix: prefix})
		for _, text := range []string{"first", "second", "third"} {
			require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Data: []byte(text + " of work")}))
		}
		c := s.Client(t)
		keys, err := c.Keys(t.Context(), "*"+prefix+"*").Result()
		require.NoError(t, err)
		for _, k := range keys {
			if v := c.Get(t.Context(), k).Val(); strings.Contains(v, "of work") {
				require.NoError(t, c.Set(t.Context(), k, strings.ReplaceAll(v, "of work", "of rust"), 0).Err())
			}
		}
		require.Equal(t, durable.Corrupt, workOn(t, a, unreadableOK()))
		requireAside(t, a, "first of rust", "second of rust", "third of rust")
	})
}

func TestTheStateOfANewerReleaseIsSetAsideAndNotAgedOut(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			a := durable.NewMemoryAdapter(nil)
			require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Data: []byte("x")}))
			testkit.Memory(t, a).Edit("words", func([]byte) []byte { return newer("months of work") })
			require.Equal(t, durable.TooNew, workOn(t, a, unreadableOK()))
			requireAside(t, a, "months of work")
		})
	})
	t.Run("redis_server", func(t *testing.T) {
		s, prefix := redistest.Shared(t), "aside:"+rand.Text()+":"
		a := testkit.OpenRedis(t, s.URL(), &durable.RedisOptions{KeyPrefix: prefix, TTL: time.Hour})
		require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words":{"sound":1}}`)}))
		require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Data: []byte("x")}))
		require.NoError(t, s.Client(t).Set(t.Context(), prefix+"words", newer("months of work"), 0).Err())
		require.Equal(t, durable.TooNew, workOn(t, a, unreadableOK()))
		requireAside(t, a, "months of work", `"sound":1`)
	})
}

func TestWhatCannotBeSetAsideIsNotOverwritten(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, a *testkit.Flaky){
		"corrupt":  func(t *testing.T, a *testkit.Flaky) { testkit.Memory(t, a).Corrupt("words") },
		"rejected": func(*testing.T, *testkit.Flaky) {},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a := testkit.NewFlaky()
				require.NoError(t, a.MemoryAdapter.SaveState(t.Context(), "words", &durable.Snapshot{Codec: "json", Data: []byte(`{"Words": 5}`)}))
				spoil(t, a)
				a.On("save", func(id string) error {
					if strings.HasPrefix(id, "~aside/") {
						return testkit.ErrDown
					}
					return nil
				})
				h := testkit.Prepare(t, a, unreadableOK())
				_, err := h.Restore(t.Context())
				require.ErrorContains(t, err, "set aside")
				require.ErrorIs(t, h.Start(), durable.ErrNotRestored)
				require.ErrorIs(t, h.Checkpoint(t.Context()), durable.ErrNotRestored)
				_ = h.Close()
				infos, err := a.ListSnapshots(t.Context(), "words")
				require.NoError(t, err)
				require.Len(t, infos, 1)
			})
		})
	}
}

func TestTwoAsidesOfOneNameDoNotOverwriteEachOther(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		texts := []string{"first", "second", "third", "fourth", "fifth"}
		for _, text := range texts {
			// A store that lost its fences begins again with the same version.
			b := durable.NewMemoryAdapter(nil)
			require.NoError(t, b.SaveState(t.Context(), "words", &durable.Snapshot{Version: 1, Codec: "json", Data: []byte(`{"Words": "` + text + `"}`)}))
			require.Equal(t, durable.Rejected, workOn(t, elsewhere{b, a}, unreadableOK()))
		}
		requireAside(t, a, texts...)
	})
}

// elsewhere keeps what is set aside in another store.
type elsewhere struct {
	*durable.MemoryAdapter
	aside durable.StateAdapter
}

func (e elsewhere) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if strings.HasPrefix(id, "~aside/") {
		return e.aside.SaveState(ctx, id, s)
	}
	return e.MemoryAdapter.SaveState(ctx, id, s)
}

func (e elsewhere) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	if strings.HasPrefix(id, "~aside/") {
		return e.aside.LoadState(ctx, id)
	}
	return e.MemoryAdapter.LoadState(ctx, id)
}

func TestTheSameBytesAreSetAsideOnce(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Data: []byte("months of work?")}))
		testkit.Memory(t, a).Corrupt("words")
		for range 3 { // it dies before its first save
			h := testkit.Prepare(t, a, unreadableOK())
			_, err := h.Restore(t.Context())
			require.NoError(t, err)
			_, err = h.Restore(t.Context())
			require.NoError(t, err)
			_ = h.Close()
		}
		requireAside(t, a, "months of work")
	})
}

func TestAStateWithALongNameIsSetAside(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		o := unreadableOK()
		o.System = "s"
		for _, id := range []string{strings.Repeat("é", 126), strings.Repeat("é", 125) + "xx"} {
			require.NoError(t, a.SaveState(t.Context(), "s/"+id, &durable.Snapshot{Codec: "json", Data: []byte(`{"Words": "` + id[249:] + `"}`)}))
			cp := durable.New(a, o)
			require.NoError(t, cp.Register(id, &testkit.WordCounter{}))
			_, err := cp.Restore(t.Context())
			require.NoError(t, err)
			require.NoError(t, cp.Close())
		}
		all := asides(t, a)
		require.Len(t, all, 2)
		for id := range all {
			require.Regexp(t, `^~aside/[0-9a-f]{16}/s/é+~[0-9a-f]{32}$`, id)
		}
	})
}

func TestASetThatDoesNotVerifyIsSetAsideOnce(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		d := testkit.StartDuo(t, a, testkit.Consistent(testkit.Quiet()))
		d.Work()
		require.NoError(t, d.Close())
		testkit.Memory(t, a).Corrupt("~set")
		d = testkit.StartDuo(t, a, testkit.Consistent(unreadableOK()))
		d.RequireBoth(t, 0, durable.Corrupt)
		for range 6 {
			d.Work()
			require.NoError(t, d.Checkpoint(t.Context()))
		}
		require.NoError(t, d.Close())
		requireAside(t, a, `{"N":1`)
	})
}

// showing is somebody else's adapter: it says that its states are damaged, and
// shows their bytes if it can.
type showing struct {
	durable.StateAdapter
	shows bool
}

func (s showing) LoadState(ctx context.Context, id string) (*durable.Snapshot, error) {
	if strings.HasPrefix(id, "~") {
		return s.StateAdapter.LoadState(ctx, id)
	}
	err := &durable.Error{Op: "load", ComponentID: id, Version: 1, Err: durable.ErrCorrupt}
	if !s.shows {
		return nil, err
	}
	return &durable.Snapshot{Data: []byte("months of rust")}, err
}

func TestAnAdapterThatCannotShowDamagedBytesIsNotMadeToOverwriteThem(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		require.NoError(t, a.SaveState(t.Context(), "words", &durable.Snapshot{Data: []byte("months of work")}))
		h := testkit.Prepare(t, showing{StateAdapter: testkit.FourMethods{StateAdapter: a}}, unreadableOK())
		_, err := h.Restore(t.Context())
		require.ErrorIs(t, err, durable.ErrCorrupt)
		require.ErrorContains(t, err, "does not show its bytes")
		_ = h.Close()
		s, err := a.LoadState(t.Context(), "words")
		require.NoError(t, err)
		require.Equal(t, "months of work", string(s.Data))

		require.Equal(t, durable.Corrupt, workOn(t, showing{testkit.FourMethods{StateAdapter: a}, true}, unreadableOK()))
		requireAside(t, a, "months of rust")
	})
}
