package durable_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/durablestate/durable"
	"github.com/stretchr/testify/require"
)

func TestARestartCarriesOnWhereItStopped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		h := start(t, a, nil)
		require.Equal(t, durable.FirstBoot, h.outcome(t))
		h.words.add("hello")
		require.NoError(t, h.Close())

		h = start(t, a, nil)
		require.Equal(t, durable.Restored, h.outcome(t))
		require.True(t, h.report.CleanShutdown)
		require.NotEmpty(t, h.report.Predecessor)
		require.Equal(t, 1, h.words.count("hello"))
		require.NoError(t, h.Close())
	})
}

func TestP3_EveryAnswerOfAStoreIsAnOutcomeOfItsOwn(t *testing.T) {
	answers := map[durable.Outcome]error{
		durable.FirstBoot: durable.ErrNotFound, durable.Expired: durable.ErrExpired, durable.Lost: durable.ErrLost,
		durable.Corrupt: durable.ErrCorrupt, durable.TooNew: durable.ErrTooNew, durable.Unreachable: errDown,
	}
	starts := map[durable.RestorePolicy]map[durable.Outcome]bool{
		"":                        {durable.FirstBoot: true, durable.Expired: true},
		durable.FreshIfAbsent:     {durable.FirstBoot: true, durable.Expired: true},
		durable.RestoreRequired:   {},
		durable.FreshIfUnreadable: {durable.FirstBoot: true, durable.Expired: true, durable.Lost: true, durable.Corrupt: true, durable.TooNew: true},
	}
	for policy, good := range starts {
		for outcome, answer := range answers {
			t.Run(fmt.Sprintf("%s/%s", policy, outcome), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					a := newFlaky()
					a.on("load", func(string) error { return answer })
					o := quiet()
					o.Restore = policy
					h := prepare(t, a, o)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					report, err := h.Restore(ctx)
					r, _ := report.Component("words")
					require.Equal(t, outcome, r.Outcome)
					if good[outcome] {
						require.NoError(t, err)
						require.NoError(t, h.Start())
					} else {
						require.ErrorIs(t, err, answer)
						require.ErrorIs(t, h.Start(), durable.ErrNotRestored)
					}
					require.NotErrorIs(t, err, fs.ErrNotExist)
					require.NoError(t, h.Close())
				})
			})
		}
	}
}

func TestP4_StateThatCouldNotBeReadIsNeverOverwritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		h := start(t, a, nil)
		h.words.add("precious")
		require.NoError(t, h.Close())

		a.down("load")
		h = prepare(t, a, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := h.Restore(ctx)
		require.ErrorIs(t, err, errDown)
		h.words.add("fresh")
		require.ErrorIs(t, h.words.Commit(t.Context(), func(*counts) {}), durable.ErrNotRestored)
		require.ErrorIs(t, h.Checkpoint(t.Context()), durable.ErrNotRestored)
		require.ErrorIs(t, h.Health(), durable.ErrNotRestored)
		var unsaved *durable.CloseError
		require.ErrorAs(t, h.Close(), &unsaved) // the fresh word is nowhere
		a.up("load")

		h = start(t, a, nil)
		require.Equal(t, 1, h.words.count("precious"))
		require.NoError(t, h.Close())
	})
}

func TestAStandbyThatIsStoppedHasNothingUnsaved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		a.down("lease")
		h := prepare(t, a, nil)
		h.words.add("set up")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := h.Restore(ctx)
		require.Error(t, err)
		require.NoError(t, h.Close())
		h = prepare(t, a, nil)
		h.words.add("set up")
		require.NoError(t, h.Close(), "and neither has one that was never asked")
	})
}

func TestBeforeRestoreNothingCanBeSaved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		h := prepare(t, a, nil)
		require.ErrorIs(t, h.words.CheckpointState(t.Context()), durable.ErrNotRestored)
		require.ErrorIs(t, h.Start(), durable.ErrNotRestored)
		require.ErrorIs(t, h.Health(), durable.ErrNotRestored)
		require.NoError(t, h.Close())
		require.Zero(t, a.calls("save", "words"))
	})
}

func TestRestoreWaitsForAStoreThatIsNotUpYet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		a.down("lease")
		h := prepare(t, a, nil)
		go func() {
			time.Sleep(time.Minute)
			a.down("claim")
			a.up("lease")
			time.Sleep(time.Minute)
			a.down("load")
			a.up("claim")
			time.Sleep(time.Minute)
			a.up("load")
		}()
		begin := time.Now()
		_, err := h.Restore(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(begin), 3*time.Minute)
		require.NoError(t, h.Close())
	})
}

func TestCloseEndsAWaitingRestore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newFlaky()
		a.down("lease")
		h := prepare(t, a, nil)
		done := make(chan error)
		go func() { _, err := h.Restore(context.Background()); done <- err }()
		time.Sleep(time.Minute)
		require.NoError(t, h.Close())
		require.ErrorIs(t, <-done, durable.ErrClosed)
		_, err := h.Restore(t.Context())
		require.ErrorIs(t, err, durable.ErrClosed)
	})
}

func TestP7_CorruptionCostsOneGenerationAndIsReported(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := durable.NewMemoryAdapter(nil)
		h := start(t, a, nil)
		require.NoError(t, h.words.Commit(t.Context(), func(c *counts) { c.Words["a"] = 1 }))
		require.NoError(t, h.words.Commit(t.Context(), func(c *counts) { c.Words["a"] = 2 }))
		require.NoError(t, h.Close())
		a.Memory().Corrupt("words")

		j := &journal{}
		h = start(t, a, j.options())
		require.Equal(t, durable.FellBack, h.outcome(t))
		r, _ := h.report.Component("words")
		require.Equal(t, []uint64{r.Version + 1}, r.Skipped)
		require.Equal(t, 1, h.words.count("a"))
		require.Contains(t, j.text(), "restored an older generation")
		require.NoError(t, h.words.Commit(t.Context(), func(*counts) {}), "versions go on above the corrupt one")
		require.NoError(t, h.Close())
	})
}

func TestARejectedStateIsKeptAndNotOverwritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		old := &durable.Snapshot{Codec: "json", Data: []byte(`{"Words": 5}`)}
		require.NoError(t, a.SaveState(ctx, "words", old))
		h := prepare(t, a, nil)
		report, err := h.Restore(ctx)
		require.Error(t, err)
		require.Equal(t, durable.Rejected, report.Results[0].Outcome)
		require.NotContains(t, err.Error(), `"Words": 5`)
		require.NoError(t, h.Close())

		o := quiet()
		o.Restore = durable.FreshIfUnreadable
		h = start(t, a, o)
		for i := range 10 { // more than are kept
			require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["new"] = i }))
		}
		require.NoError(t, h.Close())
		kept := 0
		for id, err := range a.ListComponents(ctx) {
			require.NoError(t, err)
			if strings.HasPrefix(id, "~aside/") {
				s, err := a.LoadState(ctx, id)
				require.NoError(t, err)
				require.Equal(t, old.Data, s.Data)
				kept++
			}
		}
		require.Equal(t, 1, kept)
	})
}

func TestAPlainValueIsRestoredWithVersion0(t *testing.T) {
	s, err := durable.DecodeSnapshot("words", []byte(`{"Words":{"old":3}}`))
	require.NoError(t, err)
	require.Zero(t, s.Version)
	w := &wordCounter{}
	require.NoError(t, w.RestoreState(s.Data))
	require.Equal(t, 3, w.count("old"))
}

func TestAComponentCanBeRestoredAgainWithoutARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := start(t, a, nil)
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["kept"] = 1 }))
		h.words.add("unsaved")
		_, err := h.Restore(ctx, "words")
		require.NoError(t, err)
		require.Equal(t, 1, h.words.count("kept"))
		require.Zero(t, h.words.count("unsaved"), "a restore never merges")
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["more"] = 1 }))
		_, err = h.Restore(ctx, "unknown")
		require.ErrorIs(t, err, durable.ErrNotRegistered)
		require.NoError(t, h.Close())
	})
}

func TestADeletedComponentStopsItsOwnerAndStaysDeleted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		h := start(t, a, nil)
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["old"] = 1 }))
		require.NoError(t, a.DeleteState(ctx, "words"))
		require.ErrorIs(t, h.words.Commit(ctx, func(*counts) {}), durable.ErrFenced)
		require.ErrorIs(t, h.Health(), durable.ErrFenced)
		time.Sleep(10 * time.Minute)
		_, err := a.LoadState(ctx, "words")
		require.ErrorIs(t, err, durable.ErrNotFound)

		report, err := h.Restore(ctx, "words")
		require.NoError(t, err)
		require.Equal(t, durable.FirstBoot, report.Results[0].Outcome)
		require.Zero(t, h.words.count("old"), "deleted state must not come back from memory")
		require.NoError(t, h.words.Commit(ctx, func(c *counts) { c.Words["new"] = 1 }))
		require.NoError(t, h.Close())
	})
}

func TestAFreshStartBeginsFromWhatWasSetUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := durable.NewMemoryAdapter(nil)
		cp := durable.New(a, quiet())
		c := durable.NewStatefulComponent(counts{Words: map[string]int{"initial": 1}})
		require.NoError(t, cp.Register("c", c))
		c.Update(func(c *counts) { c.Words["updated"] = 1 })
		_, err := cp.Restore(ctx)
		require.NoError(t, err)
		require.NoError(t, c.Commit(ctx, func(c *counts) { c.Words["later"] = 1 }))
		require.NoError(t, a.DeleteState(ctx, "c"))
		require.ErrorIs(t, c.CheckpointState(ctx), durable.ErrFenced)
		_, err = cp.Restore(ctx)
		require.NoError(t, err)
		c.View(func(c *counts) { require.Equal(t, map[string]int{"initial": 1, "updated": 1}, c.Words) })
		require.NoError(t, cp.Close())
	})
}

type account struct {
	Cents int64
}

func (a *account) StateSchema() int { return 3 }

func (a *account) MigrateState(from int, data []byte) ([]byte, error) {
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	switch from {
	case 1:
		return json.Marshal(map[string]any{"Euros": v["E"]})
	case 2:
		return json.Marshal(map[string]any{"Cents": v["Euros"].(float64) * 100})
	}
	return nil, errors.New("no such schema")
}

func TestAStateIsMigratedStepByStep(t *testing.T) {
	for schema, data := range map[int]string{1: `{"E":7}`, 2: `{"Euros":7}`, 3: `{"Cents":700}`} {
		bubble(t, func(t *testing.T) {
			ctx := t.Context()
			a := durable.NewMemoryAdapter(nil)
			require.NoError(t, a.SaveState(ctx, "acc", &durable.Snapshot{Schema: schema, Codec: "json", Data: []byte(data)}))
			cp := durable.New(a, quiet())
			var c durable.StatefulComponent[account]
			require.NoError(t, cp.Register("acc", &c))
			report, err := cp.Restore(ctx)
			require.NoError(t, err)
			require.Equal(t, schema, report.Results[0].Schema)
			c.View(func(a *account) { require.EqualValues(t, 700, a.Cents) })
			require.NoError(t, cp.Close())
			s, err := a.LoadState(ctx, "acc")
			require.NoError(t, err)
			require.Equal(t, 3, s.Schema)
		})
	}
}

func TestAFailedMigrationAndANewerSchemaLeaveTheOriginal(t *testing.T) {
	for schema, want := range map[int]durable.Outcome{0: durable.Rejected, 4: durable.TooNew} {
		bubble(t, func(t *testing.T) {
			ctx := t.Context()
			a := durable.NewMemoryAdapter(nil)
			require.NoError(t, a.SaveState(ctx, "acc", &durable.Snapshot{Schema: schema, Codec: "json", Data: []byte(`{"X":1}`)}))
			cp := durable.New(a, quiet())
			var c durable.StatefulComponent[account]
			require.NoError(t, cp.Register("acc", &c))
			report, err := cp.Restore(ctx)
			require.Error(t, err)
			require.Equal(t, want, report.Results[0].Outcome)
			require.Equal(t, want == durable.TooNew, errors.Is(err, durable.ErrTooNew))
			require.NoError(t, cp.Close())
			s, err := a.LoadState(ctx, "acc")
			require.NoError(t, err)
			require.Equal(t, `{"X":1}`, string(s.Data))
		})
	}
}

func TestAnEntryForAnUnknownComponentIsAnErrorOfRestore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := quiet()
		o.Components = map[string]durable.ComponentOptions{"wrods": {Interval: time.Second}}
		h := prepare(t, durable.NewMemoryAdapter(nil), o)
		_, err := h.Restore(t.Context())
		require.ErrorIs(t, err, durable.ErrNotRegistered)
		require.ErrorContains(t, err, "wrods")
		require.NoError(t, h.Close())
	})
}

func TestWithoutOwnershipVersionsGoOnAndASecondWriterIsNoticed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		a := fourMethods{durable.NewMemoryAdapter(nil)}
		h1 := start(t, a, nil)
		require.NoError(t, h1.words.Commit(ctx, func(c *counts) { c.Words["one"] = 1 }))
		h2 := start(t, a, nil)
		require.Equal(t, durable.Restored, h2.outcome(t))
		require.False(t, h2.report.CleanShutdown)
		require.NoError(t, h2.words.Commit(ctx, func(c *counts) { c.Words["two"] = 2 }))
		require.ErrorIs(t, h1.words.Commit(ctx, func(*counts) {}), durable.ErrConflict)
		require.Error(t, h1.Health())
		require.Error(t, h1.Close())
		require.NoError(t, h2.Close())
		require.NoError(t, a.DeleteState(ctx, "words"))
		h3 := start(t, a, nil)
		require.Equal(t, durable.FirstBoot, h3.outcome(t))
		require.NoError(t, h3.words.Commit(ctx, func(*counts) {}), "the fence of a deleted component is taken over")
		require.NoError(t, h3.Close())
	})
}
