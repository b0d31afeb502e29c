package durable_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	redis "github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

var update = flag.Bool("update", false, "write golden files anew")

// configEnv sets the only variables that the files in testdata/config use.
func configEnv(t testing.TB) {
	t.Helper()
	for name, value := range map[string]string{
		"REDIS_URL": "redis://app:hunter2@redis.example:6379/0",
		"HUNTER":    "hunter2",
		"EMPTY":     "",
	} {
		require.NoError(t, os.Setenv(name, value))
		t.Cleanup(func() { _ = os.Unsetenv(name) })
	}
}

func golden(t *testing.T, yamlFile, got string) {
	t.Helper()
	file := strings.TrimSuffix(yamlFile, ".yaml") + ".golden"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func configFiles(t *testing.T, kind string) []string {
	files, err := filepath.Glob("testdata/config/" + kind + "/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func TestConfig_good_files_mean_what_their_golden_files_say(t *testing.T) {
	configEnv(t)
	for _, file := range configFiles(t, "good") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			cfg, err := durable.LoadConfig(file)
			require.NoError(t, err)
			golden(t, file, strings.ReplaceAll(cfg.String(), ", ", ",\n")+"\n")
		})
	}
}

func TestConfig_bad_files_are_refused_with_every_problem_and_no_secret(t *testing.T) {
	configEnv(t)
	for _, file := range configFiles(t, "bad") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			cfg, err := durable.LoadConfig(file)
			require.Error(t, err)
			require.Nil(t, cfg)
			require.NotContains(t, err.Error(), "hunter2")
			golden(t, file, filepath.ToSlash(err.Error())+"\n")
		})
	}
}

// server is a Redis server that hands over what it is asked with command, and has
// no useful answer. REDIS_URL is its address.
func server(t *testing.T, command string) (asked <-chan string) {
	t.Helper()
	questions := make(chan string, 100)
	s, err := redis.NewServer("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(s.Close)
	require.NoError(t, s.Register(command, func(c *redis.Peer, _ string, args []string) {
		questions <- strings.Join(args, " ")
		c.WriteError("ERR no")
	}))
	t.Setenv("REDIS_URL", "redis://app:hunter2@"+s.Addr().String()+"/0")
	return questions
}

// firstQuestion opens the adapter of cfg and returns what it asks the server first.
func firstQuestion(t *testing.T, cfg *durable.Config, asked <-chan string) string {
	t.Helper()
	a, err := cfg.OpenAdapter(t.Context())
	require.NoError(t, err)
	_, err = a.LoadState(t.Context(), "c")
	require.Error(t, err)
	require.NoError(t, a.Close())
	require.NotEmpty(t, asked)
	return <-asked
}

func TestConfig_the_block_of_the_decision_record_works_as_it_is(t *testing.T) {
	configEnv(t)
	asked := server(t, "HELLO")
	cfg, err := durable.LoadConfig("testdata/config/good/adr.yaml")
	require.NoError(t, err)
	require.Equal(t, durable.Options{Interval: time.Minute}, cfg.Options)
	require.Contains(t, cfg.String(), "ttl: 1h0m0s")
	require.Contains(t, firstQuestion(t, cfg, asked), "auth app hunter2")
}

func TestConfig_fills_all_options(t *testing.T) {
	configEnv(t)
	asked := server(t, "SENTINEL")
	cfg, err := durable.LoadConfig("testdata/config/good/full.yaml")
	require.NoError(t, err)
	require.Equal(t, durable.Options{
		System: "fraud-detection", Replica: "0",
		Interval: 2 * time.Minute,
		Restore:  durable.FreshIfAbsent,
		Components: map[string]durable.ComponentOptions{
			"risk_aggregator": {Interval: 5 * time.Second, Restore: durable.RestoreRequired},
			"rule_engine":     {Restore: durable.FreshIfUnreadable},
			"alert_router":    {},
		},
		SaveTimeout: 1500 * time.Millisecond, CloseTimeout: 25 * time.Second, LeaseTTL: -1, MaxCrashRestarts: 5,
	}, cfg.Options)
	require.Equal(t, "get-master-addr-by-name primary", firstQuestion(t, cfg, asked))
}

func TestConfig_a_missing_file_is_an_error_that_names_it(t *testing.T) {
	_, err := durable.LoadConfig("testdata/config/nothing.yaml")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "nothing.yaml")
}

func TestConfig_text_from_the_environment_adds_no_yaml(t *testing.T) {
	t.Setenv("INJECT", `redis://h/0?client_name="} ,keep: 9 *b !t`)
	cfg, err := durable.ParseConfig([]byte("state_persistence: {adapter: redis, redis_url: '${INJECT}'}"))
	require.NoError(t, err)
	require.NotContains(t, cfg.String(), "keep")

	t.Setenv("INJECT", "redis://h\n  keep: 9")
	_, err = durable.ParseConfig([]byte("state_persistence:\n  adapter: redis\n  redis_url: ${INJECT}\n"))
	require.ErrorContains(t, err, "line 3: state_persistence.redis_url: contains a line break")
}

func TestConfig_text_from_the_environment_may_be_a_number_a_duration_or_a_bool(t *testing.T) {
	t.Setenv("KEEP", "7")
	t.Setenv("EVERY", "90s")
	t.Setenv("TRUE", "true")
	cfg, err := durable.ParseConfig([]byte(
		"state_persistence: {adapter: memory, keep: '${KEEP}', snapshot_interval: '${EVERY}', consistent: '${TRUE}'}"))
	require.NoError(t, err)
	require.Equal(t, 90*time.Second, cfg.Options.Interval)
	require.True(t, cfg.Options.Consistent)
	require.Contains(t, cfg.String(), "keep: 7")
}

func TestConfig_printed_in_any_way_shows_no_secret(t *testing.T) {
	configEnv(t)
	cfg, err := durable.LoadConfig("testdata/config/good/full.yaml")
	require.NoError(t, err)
	type holder struct {
		Cfg    durable.Config
		hidden durable.Config
		ptr    *durable.Config
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&out, verb+"\n", cfg)
		fmt.Fprintf(&out, verb+"\n", *cfg)
		fmt.Fprintf(&out, verb+"\n", holder{*cfg, *cfg, cfg})
	}
	require.Equal(t, cfg.String(), fmt.Sprintf("%#v", cfg))
	slog.New(slog.NewJSONHandler(&out, nil)).Info("config", "cfg", cfg, "value", *cfg, "in", holder{Cfg: *cfg})
	slog.New(slog.NewTextHandler(&out, nil)).Info("config", "cfg", cfg, "value", *cfg)
	text, err := json.Marshal(holder{Cfg: *cfg})
	require.NoError(t, err)
	out.Write(text)
	require.NotContains(t, out.String(), "hunter2")
	require.NotContains(t, out.String(), fmt.Sprintf("%x", "hunter2"))
	require.Contains(t, out.String(), `"redis_url":"(not shown)"`)
	require.Contains(t, out.String(), "fraud-detection")
}

func TestConfig_opening_warns_of_a_short_ttl(t *testing.T) {
	for ttl, warned := range map[string]bool{"599": true, "600": false, "180": true, "0": false, "1h": false} {
		cfg, err := durable.ParseConfig([]byte("state_persistence: {adapter: memory, ttl: " + ttl + "}"))
		require.NoError(t, err)
		var out bytes.Buffer
		cfg.Options.Logger = slog.New(slog.NewTextHandler(&out, nil))
		cp, err := cfg.Open(t.Context())
		require.NoError(t, err)
		require.NoError(t, cp.Close())
		require.Equal(t, warned, strings.Contains(out.String(), "ttl is short"), "ttl %s: %s", ttl, &out)
	}
}

func TestConfig_opening_checks_what_the_program_changed(t *testing.T) {
	cfg, err := durable.ParseConfig([]byte("state_persistence: {adapter: memory}"))
	require.NoError(t, err)
	cfg.Options.Interval = time.Hour
	_, err = cfg.Open(t.Context())
	require.ErrorContains(t, err, "below 3 times")

	_, err = new(durable.Config).Open(t.Context())
	require.ErrorContains(t, err, "LoadConfig")
}

// allowedKeys asks the parser itself, by way of a key it does not know.
func allowedKeys(t *testing.T, yaml string) []string {
	t.Helper()
	_, err := durable.ParseConfig([]byte(yaml))
	require.Error(t, err)
	m := regexp.MustCompile(`allowed are ([a-z_, ]+)`).FindStringSubmatch(err.Error())
	require.NotNil(t, m, err.Error())
	require.Contains(t, m[1], ", ")
	return strings.Split(m[1], ", ")
}

func TestConfig_every_key_is_in_the_tables_of_the_documentation_and_no_other(t *testing.T) {
	page, err := os.ReadFile("docs/configuration.md")
	require.NoError(t, err)
	meanings, _, found := strings.Cut(string(page), "\n## Limits")
	require.True(t, found)
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.<>]+)` \\|").FindAllStringSubmatch(meanings, -1) {
		documented = append(documented, m[1])
	}
	want := allowedKeys(t, "state_persistence: {adapter: memory, '?': 1}")
	for _, key := range allowedKeys(t, "state_persistence: {adapter: memory, components: {a: {'?': 1}}}") {
		want = append(want, "components.<id>."+key)
	}
	require.ElementsMatch(t, want, documented)
}

func TestConfig_the_examples_of_the_documentation_are_accepted(t *testing.T) {
	configEnv(t)
	t.Setenv("POD_NAME", "pod-0")
	page, err := os.ReadFile("docs/configuration.md")
	require.NoError(t, err)
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	require.NotEmpty(t, examples)
	for _, m := range examples {
		_, err := durable.ParseConfig(m[1])
		require.NoError(t, err)
	}
}

func FuzzParseConfig(f *testing.F) {
	const secret = "s3cr3t9pl4nt"
	for _, pattern := range []string{"testdata/config/good/*.yaml", "testdata/config/bad/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(f, err)
			f.Add(bytes.ReplaceAll(data, []byte("hunter2"), []byte("PLANT")))
		}
	}
	for name, value := range map[string]string{"REDIS_URL": "redis://:" + secret + "@h", "HUNTER": secret} {
		require.NoError(f, os.Setenv(name, value))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := durable.ParseConfig(data)
		if (cfg == nil) != (err != nil) {
			t.Fatalf("Config %v with error %v", cfg, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Fatalf("the error shows the secret: %v", err)
		}
		if err == nil {
			_ = cfg.String()
		}
	})
}

type tally struct{ N int }

// openTally opens the configuration, restores one component and returns both.
func openTally(t *testing.T, cfg *durable.Config) (*durable.Checkpointer, *durable.StatefulComponent[tally]) {
	t.Helper()
	cp, err := cfg.Open(t.Context())
	require.NoError(t, err)
	c := durable.NewStatefulComponent(tally{})
	require.NoError(t, cp.Register("tally", c))
	_, err = cp.Restore(t.Context())
	require.NoError(t, err)
	return cp, c
}

func parse(t *testing.T, yaml string) *durable.Config {
	t.Helper()
	cfg, err := durable.ParseConfig([]byte(yaml))
	require.NoError(t, err)
	return cfg
}

func TestConfig_open_keeps_state_in_files_from_one_start_to_the_next(t *testing.T) {
	t.Setenv("STATE_DIR", t.TempDir())
	cfg := parse(t, "state_persistence: {adapter: file, directory: '${STATE_DIR}/state', system: s}")
	for want := range 3 {
		cp, c := openTally(t, cfg)
		c.View(func(s *tally) { require.Equal(t, want, s.N) })
		c.Update(func(s *tally) { s.N++ })
		require.NoError(t, cp.Close())
	}
}

func TestConfig_open_makes_Close_close_the_adapter_and_the_spill(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: needs /proc/self/fd, which says what is open")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	t.Setenv("STATE_DIR", dir)
	cfg := parse(t, "state_persistence: {adapter: file, directory: '${STATE_DIR}/state', spill_directory: '${STATE_DIR}/spill'}")
	cp, _ := openTally(t, cfg)
	require.Equal(t, []string{"spill", "state"}, openIn(t, dir))
	require.NoError(t, cp.Close())
	require.Empty(t, openIn(t, dir))
	require.Nil(t, cfg.Options.Spill, "Open must not change the Config")
}

// openIn lists the directories in dir in which this process has something open.
func openIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	for _, f := range files {
		target, _ := os.Readlink(f) // the one of the listing itself is gone
		if path, below := strings.CutPrefix(target, dir+"/"); below {
			name, _, _ := strings.Cut(path, "/")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestConfig_a_spill_set_in_code_takes_the_place_of_spill_directory_and_stays_open(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spill")
	t.Setenv("SPILL_DIR", dir)
	cfg := parse(t, "state_persistence: {adapter: memory, spill_directory: '${SPILL_DIR}'}")
	spill := durable.NewMemoryAdapter(nil)
	cfg.Options.Spill = spill
	cp, _ := openTally(t, cfg)
	require.NoError(t, cp.Close())
	_, err := spill.LoadState(t.Context(), "tally")
	require.ErrorIs(t, err, durable.ErrNotFound)
	require.NoDirExists(t, dir)
}

func TestConfig_an_address_that_is_none_is_an_error_without_the_address(t *testing.T) {
	t.Setenv("REDIS_URL", "redis://app:hunter2@redis.example:port/0")
	_, err := durable.ParseConfig([]byte("state_persistence: {adapter: redis, redis_url: '${REDIS_URL}'}"))
	require.ErrorContains(t, err, "redis_url: cannot be parsed")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestConfig_an_adapter_that_cannot_be_opened_is_nil(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	cfg := parse(t, "state_persistence: {adapter: file, directory: '"+file+"', spill_directory: '"+file+"/spill'}")
	a, err := cfg.OpenAdapter(t.Context())
	require.Error(t, err)
	require.True(t, a == nil, "a nil adapter in an interface that is not nil")
	cp, err := cfg.Open(t.Context())
	require.ErrorContains(t, err, "spill_directory", "both are named at once")
	require.ErrorContains(t, err, file+":")
	require.Nil(t, cp)
}

func TestConfig_opening_warns_of_a_directory_in_memory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: needs a Linux tmpfs")
	}
	dir, err := os.MkdirTemp("/dev/shm", "durable")
	if err != nil {
		t.Skipf("SKIPPED: needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	j := &testkit.Journal{}
	cfg, err := durable.ParseConfig([]byte("state_persistence: {adapter: file, directory: " + dir + "}"))
	require.NoError(t, err)
	cfg.Options.Logger = j.Options().Logger
	a, err := cfg.OpenAdapter(t.Context())
	require.NoError(t, err)
	require.NoError(t, a.Close())
	require.Equal(t, 1, j.LineCount("may not keep state through a power cut"))
}

func TestConfig_a_file_of_gigabytes_is_not_read(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("state_persistence: {adapter: memory}\n"), 0o600))
	require.NoError(t, os.Truncate(path, 8<<30))
	_, err := durable.LoadConfig(path)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "is it the configuration?")
}
