package recovery_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/store"
	"github.com/durablestate/durable/internal/testkit"
)

// wipe lets the store a, of files in dir, come back empty at the same place.
func wipe(t *testing.T, a *durable.FileAdapter, dir string) *durable.FileAdapter {
	t.Helper()
	require.NoError(t, a.Close())
	require.NoError(t, os.RemoveAll(dir))
	return files(t, dir)
}

func TestWhatTheSecondStoreSpilledIsFoundWhenItComesBackEmpty(t *testing.T) {
	for name, hide := range map[string]func(durable.StateAdapter) durable.StateAdapter{
		"all methods":  func(a durable.StateAdapter) durable.StateAdapter { return a },
		"four methods": func(a durable.StateAdapter) durable.StateAdapter { return testkit.FourMethods{StateAdapter: a} },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				dirA, dirB, shared := t.TempDir(), t.TempDir(), hide(durable.NewMemoryAdapter(nil))
				a, b := files(t, dirA), files(t, dirB)
				requireWords(t, b, spillingTo(shared))
				spill(t, a, spillingTo(shared), "a")
				spill(t, b, spillingTo(shared), "b")
				requireWords(t, a, spillingTo(shared), "a") // which leaves nothing but what b spilled
				b = wipe(t, b, dirB)
				requireWords(t, b, spillingTo(shared), "b")
				a = wipe(t, a, dirA)
				requireWords(t, a, spillingTo(shared)) // nothing was spilled since
			})
		})
	}
	t.Run("whose place nobody knows", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			shared := testkit.FourMethods{StateAdapter: durable.NewMemoryAdapter(nil)}
			a, b := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
			requireWords(t, b, spillingTo(shared))
			spill(t, a, spillingTo(shared), "a")
			spill(t, b, spillingTo(shared), "b")
			requireWords(t, a, spillingTo(shared), "a")
			h := testkit.Prepare(t, durable.NewMemoryAdapter(nil), spillingTo(shared))
			_, err := h.Restore(t.Context())
			require.ErrorContains(t, err, "durable import")
			_ = h.Close()
		})
	})
}

func TestBothStoresOfASharedSpillMayComeBackEmpty(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		dirA, dirB, shared := t.TempDir(), t.TempDir(), durable.NewMemoryAdapter(nil)
		a, b := files(t, dirA), files(t, dirB)
		requireWords(t, b, spillingTo(shared))
		spill(t, a, spillingTo(shared), "a")
		spill(t, b, spillingTo(shared), "b")
		a, b = wipe(t, a, dirA), wipe(t, b, dirB)
		requireWords(t, b, spillingTo(shared), "b")
		requireWords(t, a, spillingTo(shared), "a")
		for id := range shared.ListComponents(t.Context()) {
			require.Fail(t, "nothing is left in the spill", id)
		}
	})
}

func TestAnEmptyStoreKnowsItsSpillAlsoWhenAnotherComponentStartsFirst(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		dir, shared := t.TempDir(), durable.NewMemoryAdapter(nil)
		a := files(t, dir)
		spill(t, a, spillingTo(shared), "spilled")
		a = wipe(t, a, dir)
		cp := durable.New(a, spillingTo(shared)) // a release without that component
		require.NoError(t, cp.Register("other", &testkit.WordCounter{}))
		_, err := cp.Restore(t.Context())
		require.NoError(t, err)
		require.NoError(t, cp.Close())
		requireWords(t, a, spillingTo(shared), "spilled")
	})
}

func TestAnEmptyStoreIsNoFirstBootWhenItsSpillCannotBeRead(t *testing.T) {
	for name, of := range spoilt {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				dir, shared := t.TempDir(), durable.NewMemoryAdapter(nil)
				a := files(t, dir)
				spill(t, a, spillingTo(shared), "spilled")
				of.spoil(t, shared, "words")
				a = wipe(t, a, dir)
				h := testkit.Prepare(t, a, spillingTo(shared))
				r, err := h.Restore(t.Context())
				require.Error(t, err)
				require.Equal(t, of.outcome, r.Results[0].Outcome)
				_ = h.Close()
				of.spoil(t, shared, store.SpillID)
				a = wipe(t, a, dir)
				h = testkit.Prepare(t, a, spillingTo(shared))
				_, err = h.Restore(t.Context())
				require.ErrorContains(t, err, "cannot be read")
				_ = h.Close()
			})
		})
	}
}

func TestADamagedFileInASpillIsNotTakenForAnotherStore(t *testing.T) {
	at := func(part string) func(b []byte) {
		return func(b []byte) {
			if i := bytes.Index(b, []byte(part)); i >= 0 {
				b[i] ^= 1
			}
		}
	}
	for name, damage := range map[string]func(b []byte){
		"payload": at("final"),
		"header":  at("words"),
		"magic":   at("DURABLE"),
		"all":     func(b []byte) { clear(b) },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a, dir := durable.NewMemoryAdapter(nil), t.TempDir()
				s := files(t, dir)
				h := testkit.Start(t, a, spillingTo(s))
				require.NoError(t, h.Words.Commit(t.Context(), func(c *testkit.Counts) { c.Words["acknowledged"] = 1 }))
				require.NoError(t, h.Close())
				spill(t, a, spillingTo(s), "final")
				require.NoError(t, s.Close())
				all, err := filepath.Glob(filepath.Join(dir, "c-*"))
				require.NoError(t, err)
				require.NotEmpty(t, all)
				for _, f := range all {
					b, err := os.ReadFile(f)
					require.NoError(t, err)
					damage(b)
					require.NoError(t, os.WriteFile(f, b, 0o600))
				}
				s = files(t, dir)
				h = testkit.Prepare(t, a, spillingTo(s))
				r, err := h.Restore(t.Context())
				require.NoError(t, err)
				require.Equal(t, durable.FellBack, r.Results[0].Outcome, "%+v", r)
				require.Equal(t, 1, h.Words.Count("acknowledged"))
				require.NoError(t, h.Close())
				requireWords(t, a, spillingTo(s), "acknowledged")
			})
		})
	}
}

func TestASpilledSetOfANewerReleaseSetsTheOlderSetAsideOnce(t *testing.T) {
	for name, hide := range map[string]func(durable.StateAdapter) durable.StateAdapter{
		"all methods":  func(a durable.StateAdapter) durable.StateAdapter { return a },
		"four methods": func(a durable.StateAdapter) durable.StateAdapter { return testkit.FourMethods{StateAdapter: a} },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				m, dir := durable.NewMemoryAdapter(nil), durable.NewMemoryAdapter(nil)
				a := &failing{StateAdapter: hide(m)}
				opts := func() *durable.Options { return testkit.Consistent(spillingTo(dir)) }
				d := testkit.StartDuo(t, a, opts())
				d.Work()
				require.NoError(t, d.Checkpoint(t.Context()))
				d.Work()
				a.down = true
				require.Error(t, d.Close())
				a.down = false
				testkit.Memory(t, dir).Edit("~set", func([]byte) []byte { return newer("final") })
				o := opts()
				o.Restore = durable.FreshIfUnreadable
				d = testkit.StartDuo(t, a, o)
				d.RequireBoth(t, 0, durable.TooNew)
				for range 6 {
					d.Work()
					require.NoError(t, d.Checkpoint(t.Context()))
				}
				require.NoError(t, d.Close())
				all := asides(t, m)
				require.Len(t, all, 1)
				for id, s := range all {
					require.Contains(t, id, "~set")
					require.Contains(t, string(s.Data), `"N":1`)
				}
			})
		})
	}
}
