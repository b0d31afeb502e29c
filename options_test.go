package durable_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/limits"
	"github.com/durablestate/durable/internal/testkit"
)

// refusal returns what is said of the options by every call, which is one and the same.
func refusal(t *testing.T, a durable.StateAdapter, o *durable.Options) string {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	cp := durable.New(a, o)
	_, err := cp.Restore(t.Context())
	require.Error(t, err)
	for _, other := range []error{cp.Register("a", &testkit.WordCounter{}), cp.Start(), cp.Health(), cp.Checkpoint(t.Context())} {
		require.ErrorContains(t, other, strings.TrimPrefix(err.Error(), "durable: "))
	}
	require.NotContains(t, err.Error(), "\n", "one line")
	require.NoError(t, cp.Close(), "nothing was registered")
	return err.Error()
}

func TestWrongOptionsAreRefusedByEveryCallAllAtOnce(t *testing.T) {
	text := refusal(t, durable.NewMemoryAdapter(nil), &durable.Options{
		System: "a/b", Replica: "~r", Holder: "line\nbreak", Interval: -1, SaveTimeout: 10, CloseTimeout: math.MaxInt64,
		LeaseTTL: time.Millisecond, PauseLimit: 25, MaxCrashRestarts: -1, Restore: "sometimes", Consistent: true,
		Components: map[string]durable.ComponentOptions{"x": {Restore: "no", Interval: 5}, "y/z": {}, "": {}},
		Spill:      (*durable.FileAdapter)(nil),
	})
	for _, want := range []string{
		"Options.System must be", "Options.Replica must be", "Options.Holder must be", "Options.Interval must be from 1ms to 292 years, not -1ns",
		"Options.SaveTimeout must be from 1ms to 10 years, not 10ns; did you mean 10 * time.Second?", "Options.CloseTimeout must be",
		"Options.LeaseTTL must be from 100ms to 10 years, or negative (no ownership), not 1ms", "Options.PauseLimit must be", "did you mean 25 * time.Second?",
		"Options.MaxCrashRestarts must be", `Options.Restore must be fresh-if-absent, required or fresh-if-unreadable, not "sometimes"`,
		`Options.Components["x"].Restore must be`, `Options.Components["x"].Interval must be from 1ms to 292 years, not 5ns; did you mean 5 * time.Second?`,
		`Options.Components["x"].Interval must not be set for one component together with Options.Consistent`, `Options.Components["y/z"] must be`,
		`Options.Components[""] must have an id`, "Options.Spill is a nil *durable.FileAdapter",
	} {
		require.Contains(t, text, want)
	}
}

func TestOptionsThatMeanNothingTogetherAreRefused(t *testing.T) {
	mem := durable.NewMemoryAdapter
	require.Contains(t, refusal(t, mem(nil), &durable.Options{Replica: "r"}), "Options.Replica needs Options.System beside it")
	long := strings.Repeat("s", 200)
	require.Contains(t, refusal(t, mem(nil), &durable.Options{System: long, Replica: long}), "no room for ids")
	a := mem(nil)
	require.Contains(t, refusal(t, a, &durable.Options{Spill: a}), "Options.Spill must not be the adapter itself")
}

func TestATTLThatEndsBetweenTwoCheckpointsIsRefusedByStart(t *testing.T) {
	a := durable.NewMemoryAdapter(&durable.MemoryOptions{TTL: time.Minute})
	want := "the adapter's TTL 1m0s is below 3 times the longest Options.Interval (1m0s)"
	refuse := func(a durable.StateAdapter, o *durable.Options) {
		cp := durable.New(a, o)
		require.NoError(t, cp.Register("slow", &durable.StatefulComponent[int]{}))
		_, err := cp.Restore(t.Context())
		require.NoError(t, err, "without Start nothing waits for an interval")
		require.ErrorContains(t, cp.Start(), want)
		require.NoError(t, cp.Close())
	}
	refuse(a, &durable.Options{})
	refuse(wrapped{a}, &durable.Options{})
	refuse(a, &durable.Options{
		Interval: time.Second, Components: map[string]durable.ComponentOptions{"slow": {Interval: time.Minute}},
	})
	j := &testkit.Journal{}
	o := j.Options()
	o.Interval = 7 * time.Second
	cp := durable.New(a, o)
	require.Equal(t, 1, j.LineCount("ttl is short"))
	require.ErrorIs(t, cp.Health(), durable.ErrNotRestored)
	require.NoError(t, cp.Close())
}

type wrapped struct{ durable.StateAdapter }

func (w wrapped) Unwrap() durable.StateAdapter { return w.StateAdapter }

func TestAdaptersRefuseWrongOptionsAllAtOnce(t *testing.T) {
	_, err := durable.NewFileAdapter("~/state", &durable.FileOptions{Keep: -1, MaxStateBytes: math.MaxInt64})
	require.ErrorContains(t, err, `dir must not begin with "~"`)
	require.ErrorContains(t, err, "FileOptions.Keep must be from 1 to 100, not -1")
	require.ErrorContains(t, err, "FileOptions.MaxStateBytes must be")

	o := &durable.RedisOptions{KeyPrefix: "{p}", TTL: 3600, Keep: 101, Durability: "replicated:0", MaxStateBytes: 1 << 30}
	_, err = durable.NewRedisAdapter(nil, o)
	_, other := durable.OpenRedisAdapter(t.Context(), "redis://h:0/x?pool_size=-1", o)
	_, typed := durable.NewRedisAdapter((*redis.Client)(nil), o)
	for _, err := range []error{err, other, typed} {
		for _, want := range []string{
			"RedisOptions.KeyPrefix must be", "RedisOptions.TTL must be 0 (no expiry) or from 1ms to 100 years, not 3.6µs; did you mean 3600 * time.Second?",
			"RedisOptions.Keep must be", "RedisOptions.Durability must be", "RedisOptions.MaxStateBytes must be from 1 to 134217728",
		} {
			require.ErrorContains(t, err, want)
		}
	}
	require.ErrorContains(t, err, "client must not be nil")
	require.ErrorContains(t, typed, "client must not be nil")
	require.ErrorContains(t, other, "must have a port from 1 to 65535")
	require.ErrorContains(t, other, "pool_size must be a whole number")

	for _, o := range []durable.MemoryOptions{{Keep: -1}, {TTL: -1}, {TTL: 60}, {Keep: 101}} {
		a := durable.NewMemoryAdapter(&o)
		_, err := a.LoadState(t.Context(), "c")
		require.ErrorContains(t, err, "MemoryOptions.")
		require.NotErrorIs(t, err, durable.ErrNotFound)
		require.Contains(t, refusal(t, a, &durable.Options{}), "MemoryOptions.")
		require.NoError(t, a.Close())
	}
}

func TestADirectoryThatOnlyAShellKnowsIsNotMade(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"~", "~/state", "~user/state", "$HOME/state", "${HOME}", "/data/${POD_NAME}/x", "/data/$POD_NAME", `%APPDATA%\state`,
		"file:///var/lib/state", "redis://app:secret@h:6379/0", " ", " state", "state ", "a\x00b", "a\nb"} {
		_, err := durable.NewFileAdapter(dir, nil)
		require.Error(t, err, dir)
		require.NotContains(t, err.Error(), "app:secret")
		_, err = durable.ParseConfig(fmt.Appendf(nil, "state_persistence: {adapter: file, directory: %q, spill_directory: %q}", escaped(dir), escaped(dir)))
		require.ErrorContains(t, err, "state_persistence.directory", dir)
		require.ErrorContains(t, err, "state_persistence.spill_directory", dir)
		require.NotContains(t, err.Error(), "app:secret")
	}
	made, err := filepath.Glob("*")
	require.NoError(t, err)
	require.Empty(t, made)
	for _, dir := range []string{"./~", "state", "a$b", "./ a /", "file:x", "50%", "a/100%-b%/c", "./c$"} {
		a, err := durable.NewFileAdapter(dir, nil)
		require.NoError(t, err, dir)
		require.NoError(t, a.Close())
	}
}

// escaped writes dir for YAML, where ${ begins a variable.
func escaped(dir string) string { return strings.ReplaceAll(dir, "$", "$$") }

func TestARelativeDirectoryStaysWhereItWasOpened(t *testing.T) {
	first := t.TempDir()
	t.Chdir(first)
	a, err := durable.NewFileAdapter("state", nil)
	require.NoError(t, err)
	defer a.Close()
	t.Chdir(t.TempDir())
	require.NoError(t, a.SaveState(t.Context(), "c", &durable.Snapshot{Data: []byte("x")}))
	b, err := durable.NewFileAdapter(filepath.Join(first, "state"), nil)
	require.NoError(t, err)
	defer b.Close()
	_, err = b.LoadState(t.Context(), "c")
	require.NoError(t, err)
}

func TestANilOrZeroValueIsAnErrorAndNoPanic(t *testing.T) {
	for _, a := range []durable.StateAdapter{nil, (*durable.FileAdapter)(nil), (*durable.RedisAdapter)(nil), (*durable.MemoryAdapter)(nil), wrappedNil()} {
		require.Contains(t, refusal(t, a, &durable.Options{}), "New needs an adapter, not nil")
	}
	ctx := t.Context()
	for _, a := range []interface {
		durable.StateAdapter
		durable.Owner
		durable.Historian
	}{&durable.FileAdapter{}, &durable.RedisAdapter{}, &durable.MemoryAdapter{}} {
		const want = "zero value"
		require.Contains(t, refusal(t, a, &durable.Options{}), want)
		require.Contains(t, refusal(t, durable.NewMemoryAdapter(nil), &durable.Options{Spill: a}), want)
		_, err := a.LoadState(ctx, "c")
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, a.SaveState(ctx, "c", &durable.Snapshot{Data: []byte{}}), want)
		require.ErrorContains(t, a.DeleteState(ctx, "c"), want)
		require.ErrorContains(t, a.ClaimState(ctx, "c", 1), want)
		_, err = a.AcquireLease(ctx, "n", "h", time.Second)
		require.ErrorContains(t, err, want)
		for _, err := range a.ListComponents(ctx) {
			require.ErrorContains(t, err, want)
		}
		_, err = a.ListSnapshots(ctx, "c")
		require.ErrorContains(t, err, want)
		require.NoError(t, a.Close())
	}
	mem := durable.NewMemoryAdapter(nil)
	require.ErrorContains(t, mem.SaveState(ctx, "c", nil), "nil")
	require.ErrorContains(t, mem.RenewLease(ctx, nil), "nil")
	require.ErrorContains(t, mem.ReleaseLease(ctx, nil), "nil")
	_, err := durable.EncodeSnapshot("c", nil)
	require.ErrorContains(t, err, "nil")
	_, err = mem.AcquireLease(ctx, "n", "h", 15)
	require.ErrorContains(t, err, "did you mean 15 * time.Second?")
	_, err = mem.AcquireLease(ctx, "n", "h\n", 0)
	require.ErrorContains(t, err, "the lease's holder must be")
	require.ErrorContains(t, err, "the lease's TTL must be above 0")
	_, err = new(durable.RedisAdapter).Audit(ctx)
	require.ErrorContains(t, err, "zero value")
	require.NoError(t, new(durable.FileAdapter).Durable())

	for _, cp := range []*durable.Checkpointer{nil, {}} {
		_, err := cp.Restore(ctx)
		for _, err := range []error{err, cp.Register("a", &testkit.WordCounter{}), cp.Start(), cp.Health(), cp.Checkpoint(ctx), cp.Close()} {
			require.ErrorContains(t, err, "make one with New")
		}
		require.Empty(t, cp.Status())
		called := false
		cp.Do(func() { called = true })
		require.True(t, called)
	}
	_, err = (*durable.Config)(nil).Open(ctx)
	require.ErrorContains(t, err, "LoadConfig")
	_, err = (*durable.Config)(nil).OpenAdapter(ctx)
	require.ErrorContains(t, err, "LoadConfig")
}

// wrappedNil is a wrapper by pointer that is nil itself.
func wrappedNil() durable.StateAdapter { return (*wrapped)(nil) }

func TestEveryDoorAsksEveryLimit(t *testing.T) {
	inYAML, inCode := map[string]bool{}, map[string]bool{}
	for _, l := range limits.All() {
		if l.Of != "" && l.Of != "redis" {
			continue
		}
		bad := map[limits.Unit]string{limits.Duration: "999us", limits.Number: "99999999999", limits.Bytes: "9999999999999"}[l.Unit]
		if l.Unit == limits.None {
			bad = `"~/*` + strings.Repeat("x", 300) + `"`
		}
		_, err := durable.ParseConfig(fmt.Appendf(nil, "state_persistence: {%s: %s}", l.Key, bad))
		require.ErrorContains(t, err, "state_persistence."+l.Key+":")
		inYAML[l.Key] = true
	}
	huge, text := time.Duration(math.MaxInt64), "~/*"
	_, redisErr := durable.OpenRedisAdapter(t.Context(), text, &durable.RedisOptions{KeyPrefix: text, TTL: huge, Keep: 1 << 30, Durability: text, MaxStateBytes: math.MaxInt64})
	_, fileErr := durable.NewFileAdapter(text, nil)
	said := redisErr.Error() + fileErr.Error() + refusal(t, durable.NewMemoryAdapter(nil), &durable.Options{
		System: text, Replica: text, Holder: "\x00", Interval: -huge, SaveTimeout: huge, CloseTimeout: huge, LeaseTTL: huge, PauseLimit: huge,
		MaxCrashRestarts: math.MaxInt64, Restore: durable.RestorePolicy(text),
	})
	for _, l := range limits.All() {
		if l.Field != "" && l.Key != "consistent" {
			require.Contains(t, said, l.Field+" must", l.Key)
			inCode[l.Key] = true
		}
	}
	require.Greater(t, len(inYAML), 15)
	require.Greater(t, len(inCode), 12)
}

func TestAnOptionAtItsLimitIsAccepted(t *testing.T) {
	o := &durable.Options{
		System: "s", Replica: "r", Interval: time.Millisecond, SaveTimeout: 10 * 365 * 24 * time.Hour, CloseTimeout: time.Millisecond, LeaseTTL: 100 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), MaxCrashRestarts: math.MaxInt32, PauseLimit: -1, Restore: durable.RestoreRequired,
	}
	cp := durable.New(durable.NewMemoryAdapter(&durable.MemoryOptions{Keep: 100, TTL: 100 * 365 * 24 * time.Hour}), o)
	require.NoError(t, cp.Register("a", &testkit.WordCounter{}))
	require.ErrorIs(t, cp.Health(), durable.ErrNotRestored)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := cp.Restore(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_ = cp.Close()
}

// documented returns the table of limits as docs/configuration.md has it.
func documented() string {
	var b strings.Builder
	b.WriteString("| Key | In code | Allowed |\n|---|---|---|\n")
	for _, l := range limits.All() {
		of := ""
		if l.Of != "" {
			of = " (`" + l.Of + "`)"
		}
		field := ""
		if l.Field != "" {
			field = "`" + l.Field + "`"
		}
		fmt.Fprintf(&b, "| `%s`%s | %s | %s |\n", l.Key, of, field, strings.ReplaceAll(l.Allowed(), "|", `\|`))
	}
	return b.String()
}

func TestTheDocumentedLimitsAreThoseOfTheTable(t *testing.T) {
	const page, begin, end = "docs/configuration.md", "<!-- limits -->\n\n", "\n<!-- end of limits -->"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	table, after, found := strings.Cut(rest, end)
	require.True(t, found)
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+begin+documented()+end+after), 0o644))
		return
	}
	require.Equal(t, documented(), table)
}
