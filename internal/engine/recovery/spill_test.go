package recovery_test

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/testkit"
)

// identityOf returns the identity of a store without a system.
func identityOf(t *testing.T, a durable.StateAdapter) store.Identity {
	t.Helper()
	s, err := a.LoadState(t.Context(), store.StoreID)
	require.NoError(t, err)
	id, ok := store.ReadIdentity(s.Data)
	require.True(t, ok)
	return id
}

// spillingTo returns options with that spill.
func spillingTo(spill durable.StateAdapter) *durable.Options {
	o := testkit.Quiet()
	o.Spill = spill
	return o
}

// failing is an adapter whose saves fail while it is down.
type failing struct {
	durable.StateAdapter
	down bool
}

func (f *failing) Unwrap() durable.StateAdapter { return f.StateAdapter }

func (f *failing) SaveState(ctx context.Context, id string, s *durable.Snapshot) error {
	if f.down {
		return testkit.ErrDown
	}
	return f.StateAdapter.SaveState(ctx, id, s)
}

// spill has a program on a change its state, and end while the store is down.
func spill(t *testing.T, a durable.StateAdapter, o *durable.Options, word string) {
	t.Helper()
	f := &failing{StateAdapter: a}
	o.CloseTimeout = 2 * time.Second
	h := testkit.Start(t, f, o)
	f.down = true
	h.Words.Add(word)
	require.Error(t, h.Close())
}

// requireWords restores on a, which must give these words, once each, and closes.
func requireWords(t *testing.T, a durable.StateAdapter, o *durable.Options, words ...string) {
	t.Helper()
	h := testkit.Start(t, a, o)
	for _, word := range words {
		require.Equal(t, 1, h.Words.Count(word), word)
	}
	h.Words.View(func(c *testkit.Counts) { require.Len(t, c.Words, len(words)) })
	require.NoError(t, h.Close())
}

// files returns a file adapter on dir, which is closed at the end of the test.
func files(t *testing.T, dir string) *durable.FileAdapter {
	t.Helper()
	a, err := durable.NewFileAdapter(dir, nil)
	require.NoError(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}

func TestASpillThatIsTheStoreUnderAnotherNameIsRefused(t *testing.T) {
	type pair struct{ a, spill durable.StateAdapter }
	hidden := func(a durable.StateAdapter) durable.StateAdapter { return testkit.FourMethods{StateAdapter: a} }
	for name, open := range map[string]func(t *testing.T) pair{
		"one memory": func(t *testing.T) pair {
			a := durable.NewMemoryAdapter(nil)
			return pair{a, testkit.Reopen(t, a)}
		},
		"four methods": func(t *testing.T) pair {
			a := durable.NewMemoryAdapter(nil)
			return pair{hidden(a), hidden(testkit.Reopen(t, a))}
		},
		"a link": func(t *testing.T) pair {
			dir := t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
			require.NoError(t, os.Symlink(filepath.Join(dir, "real"), filepath.Join(dir, "link")))
			return pair{files(t, filepath.Join(dir, "real")), files(t, filepath.Join(dir, "link"))}
		},
		"hidden files": func(t *testing.T) pair {
			dir := t.TempDir()
			return pair{files(t, dir), hidden(files(t, dir))}
		},
		"redis_server": func(t *testing.T) pair {
			url, r := redistest.Shared(t).URL(), &durable.RedisOptions{KeyPrefix: "spill:" + rand.Text() + ":"}
			return pair{testkit.OpenRedis(t, url, r), testkit.OpenRedis(t, strings.Replace(url, "127.0.0.1", "localhost", 1), r)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			h := testkit.Start(t, p.a, nil)
			require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["acknowledged"] = 1 }))
			require.NoError(t, h.Close())
			before, err := p.a.LoadState(t.Context(), "words")
			require.NoError(t, err)
			for range 3 {
				cp := durable.New(p.a, spillingTo(p.spill))
				err := cp.Register("words", &testkit.WordCounter{})
				if err == nil {
					_, err = cp.Restore(t.Context())
				}
				require.ErrorContains(t, err, "Options.Spill")
				require.ErrorContains(t, err, "of its own")
				_ = cp.Close()
			}
			after, err := p.a.LoadState(t.Context(), "words")
			require.NoError(t, err)
			require.Equal(t, before, after)
		})
	}
}

func TestANewStoreThatIsItsOwnSpillIsRefusedBeforeItsFirstState(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		h := testkit.Prepare(t, a, spillingTo(testkit.Reopen(t, a)))
		_, err := h.Restore(t.Context())
		require.ErrorContains(t, err, "is the store itself")
		_ = h.Close()
	})
}

func TestTheStoreOfAnotherProgramIsNoSpill(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, others := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
		requireWords(t, a, spillingTo(durable.NewMemoryAdapter(nil))) // has its identity
		h := testkit.Start(t, others, nil)
		require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["others"] = 1 }))
		require.NoError(t, h.Close())
		h = testkit.Prepare(t, a, spillingTo(others))
		_, err := h.Restore(t.Context())
		require.ErrorContains(t, err, "nobody spilled")
		_ = h.Close()
		requireWords(t, others, spillingTo(durable.NewMemoryAdapter(nil)), "others")
		h = testkit.Prepare(t, a, spillingTo(others))
		_, err = h.Restore(t.Context())
		require.ErrorContains(t, err, "is a store of its own")
		_ = h.Close()
		requireWords(t, others, nil, "others")
	})
}

func TestWhatTwoProgramsSpillIsNotMixedUp(t *testing.T) {
	for name, hide := range map[string]func(durable.StateAdapter) durable.StateAdapter{
		"all methods":  func(a durable.StateAdapter) durable.StateAdapter { return a },
		"four methods": func(a durable.StateAdapter) durable.StateAdapter { return testkit.FourMethods{StateAdapter: a} },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, b, shared := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil), hide(durable.NewMemoryAdapter(nil))
				requireWords(t, b, spillingTo(shared))
				requireWords(t, a, spillingTo(shared))
				spill(t, a, spillingTo(shared), "a1")
				spill(t, b, spillingTo(shared), "b1") // and finds the spill of a
				s, err := shared.LoadState(t.Context(), "words")
				require.NoError(t, err)
				require.Contains(t, string(s.Data), "a1")
				spill(t, b, spillingTo(shared), "b2") // takes its own back
				requireWords(t, a, spillingTo(shared), "a1")
				spill(t, b, spillingTo(shared), "b3")
				spill(t, a, spillingTo(shared), "a2")
				requireWords(t, b, spillingTo(shared), "b1", "b2", "b3")
				requireWords(t, a, spillingTo(shared), "a1", "a2")
			})
		})
	}
}

func TestTheSpillOfAnotherStoreIsTold(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, b, shared := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
		requireWords(t, b, spillingTo(shared))
		spill(t, a, spillingTo(shared), "a")
		j := &testkit.Journal{}
		o := j.Options()
		o.Spill = shared
		requireWords(t, b, o)
		require.Equal(t, 1, strings.Count(j.Text(), "states of another store"))
	})
}

func TestAStoreThatCameBackEmptyGetsWhatWasSpilledForIt(t *testing.T) {
	open := func(t *testing.T) (a durable.StateAdapter, wipe func()) {
		s, prefix := redistest.Shared(t), "spill:"+rand.Text()+":"
		return testkit.OpenRedis(t, s.URL(), &durable.RedisOptions{KeyPrefix: prefix}), func() {
			keys, err := s.Client(t).Keys(t.Context(), "*"+prefix+"*").Result()
			require.NoError(t, err)
			require.NoError(t, s.Client(t).Del(t.Context(), keys...).Err())
		}
	}
	for name, restore := range map[string]func(t *testing.T, h testkit.Harness){
		"all": func(t *testing.T, h testkit.Harness) {
			_, err := h.Restore(t.Context())
			require.NoError(t, err)
		},
		"another component first": func(t *testing.T, h testkit.Harness) {
			require.NoError(t, h.Register("other", &testkit.WordCounter{}))
			_, err := h.Restore(t.Context(), "other")
			require.NoError(t, err)
			_, err = h.Restore(t.Context(), "words")
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, wipe := open(t)
			dir := files(t, t.TempDir())
			spill(t, a, spillingTo(dir), "spilled")
			id := identityOf(t, a)
			wipe()
			h := testkit.Prepare(t, a, spillingTo(dir))
			restore(t, h)
			require.Equal(t, 1, h.Words.Count("spilled"))
			require.Equal(t, id, identityOf(t, a))
			require.NoError(t, h.Close())
			requireWords(t, a, spillingTo(dir), "spilled")
			for id := range dir.ListComponents(t.Context()) {
				require.Fail(t, "nothing is left in the spill", id)
			}
		})
	}
	t.Run("another place", func(t *testing.T) { // may be another program's
		a, _ := open(t)
		b, _ := open(t)
		dir := files(t, t.TempDir())
		spill(t, a, spillingTo(dir), "spilled")
		h := testkit.Prepare(t, b, spillingTo(dir))
		_, err := h.Restore(t.Context())
		require.ErrorContains(t, err, "durable import")
		_ = h.Close()
		_, err = b.LoadState(t.Context(), "words")
		require.ErrorIs(t, err, durable.ErrNotFound)
		requireWords(t, a, spillingTo(dir), "spilled")
		requireWords(t, b, spillingTo(dir))
	})
}

func TestANewStoreDoesNotGuessWhoseASpillIs(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx, dir := t.Context(), durable.NewMemoryAdapter(nil)
		spill(t, durable.NewMemoryAdapter(nil), spillingTo(dir), "spilled")
		b := durable.NewMemoryAdapter(nil) // in memory: nobody knows whether it is the same
		for range 2 {
			h := testkit.Prepare(t, b, spillingTo(dir))
			_, err := h.Restore(ctx)
			require.ErrorContains(t, err, `["words"]`)
			require.ErrorContains(t, err, "durable import")
			require.ErrorIs(t, h.Start(), durable.ErrNotRestored)
			_ = h.Close()
			for id := range b.ListComponents(ctx) {
				require.Fail(t, "something was written", id)
			}
		}
		// The way out: bring the state into the store, and remove it from the spill.
		s, err := dir.LoadState(ctx, "words")
		require.NoError(t, err)
		s.Epoch, s.Version, s.WriteID = 0, 0, ""
		require.NoError(t, b.SaveState(ctx, "words", s))
		require.NoError(t, dir.DeleteState(ctx, "words"))
		requireWords(t, b, spillingTo(dir), "spilled")
	})
}

func TestACopyOfAStoreDoesNotTakeWhatTheOriginalSpilled(t *testing.T) {
	original, copied, dir := t.TempDir(), filepath.Join(t.TempDir(), "staging"), files(t, t.TempDir())
	a := files(t, original)
	spill(t, a, spillingTo(dir), "spilled")
	require.NoError(t, a.Close())
	require.NoError(t, os.CopyFS(copied, os.DirFS(original)))
	requireWords(t, files(t, copied), spillingTo(dir), "spilled") // it may have been moved
	kept := asides(t, dir)
	require.Len(t, kept, 1)
	for _, s := range kept {
		require.Contains(t, string(s.Data), "spilled")
	}
}

func TestWhatWasSpilledOfASetComesBackWithoutItAndTheOtherWayRound(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, dir := testkit.NewFlaky(), durable.NewMemoryAdapter(nil)
		modes := []func(*durable.Options) *durable.Options{testkit.Consistent, func(o *durable.Options) *durable.Options { return o }}
		for i := range 6 {
			d := testkit.StartDuo(t, a, modes[i%2](spillingTo(dir)))
			if i > 0 {
				d.RequireBoth(t, i, durable.Restored)
			}
			d.Work()
			a.Down("save", "refresh")
			require.Error(t, d.Close())
			a.Up("save", "refresh")
		}
		d := testkit.StartDuo(t, a, spillingTo(dir))
		d.RequireBoth(t, 6, durable.Restored)
		require.NoError(t, d.Close())
	})
}

func TestASpilledStateOfAComponentThatIsNotRegisteredIsToldAndKept(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a, dir := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
		spill(t, a, spillingTo(dir), "spilled")
		j := &testkit.Journal{}
		o := j.Options()
		o.Spill = dir
		cp := durable.New(a, o)
		require.NoError(t, cp.Register("renamed", &testkit.WordCounter{}))
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, cp.Close())
		require.Contains(t, j.Text(), "not registered stay in the spill")
		requireWords(t, a, spillingTo(dir), "spilled")
	})
}

func TestAStandbyGivesTheStoreNoIdentity(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		owner := testkit.Start(t, a, nil)
		standby := testkit.Prepare(t, testkit.Reopen(t, a), testkit.Named("standby", spillingTo(durable.NewMemoryAdapter(nil))))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := standby.Restore(ctx)
		require.Error(t, err)
		require.NoError(t, standby.Close())
		_, err = a.LoadState(t.Context(), store.StoreID)
		require.ErrorIs(t, err, durable.ErrNotFound)
		require.NoError(t, owner.Close())
	})
}

func TestASpillDoesNotOverwriteWhatSomebodyElseStoredMeanwhile(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a, dir := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
		f, o := &failing{StateAdapter: a}, spillingTo(dir)
		o.CloseTimeout = 2 * time.Second
		h := testkit.Start(t, f, o)
		require.NoError(t, dir.SaveState(ctx, "words", &durable.Snapshot{Data: []byte("another program's")}))
		f.down = true
		h.Words.Add("spilled")
		require.Error(t, h.Close())
		s, err := dir.LoadState(ctx, "words")
		require.NoError(t, err)
		require.Equal(t, "another program's", string(s.Data))

		h = testkit.Prepare(t, a, spillingTo(dir))
		_, err = h.Restore(ctx)
		require.ErrorContains(t, err, "nobody spilled")
		_ = h.Close()
		require.NoError(t, dir.DeleteState(ctx, "words"))
		requireWords(t, a, spillingTo(dir), "spilled")
	})
}
