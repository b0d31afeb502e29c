package durable_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/testkit"
)

const (
	secretWord   = "hunter2pa55"  // of the store
	personalWord = "alice@home.x" // in a state
)

// spelled returns the ways in which a word may be printed.
func spelled(word string) []string {
	b := []byte(word)
	decimals := strings.Trim(fmt.Sprint(b), "[]")
	coded := base64.StdEncoding.EncodeToString(b[:len(b)/3*3])
	return []string{
		word, hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), decimals, strings.ReplaceAll(decimals, " ", ", "),
		coded, strings.ReplaceAll(fmt.Sprintf("%# x", b), " ", ", "), strings.Trim(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte"), "{}"),
	}
}

// leaks returns how text shows a word that nobody may see.
func leaks(text string) (found []string) {
	for _, word := range []string{secretWord, personalWord} {
		for _, s := range spelled(word) {
			if strings.Contains(text, s) {
				found = append(found, s)
			}
		}
	}
	return found
}

// printed returns v as every verb, logger and dump writes it, alone and inside of others.
func printed(v any) string {
	type holder struct {
		Public any
		List   []any
		Map    map[string]any
	}
	var out bytes.Buffer
	for _, x := range []any{v, &v, holder{v, []any{v}, map[string]any{"k": v}}, &holder{Public: v}, struct{ hidden any }{unlessPublic(v)}, []any{v}, map[string]any{"k": v}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%o", "%t", "%e"} {
			fmt.Fprintf(&out, verb+"\n", x)
		}
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("value", "v", v, slog.Group("g", "v", v))
	}
	return out.String()
}

// unlessPublic returns v, which an unexported field may hold, unless it is a Snapshot:
// fmt asks nothing that stands in such a field how it wants to be printed.
func unlessPublic(v any) any {
	if list, ok := v.([]any); ok {
		if _, ok := list[0].(*durable.Snapshot); ok {
			return nil
		}
	}
	return v
}

// dumped returns the texts and bytes that reflection finds in v, unexported fields
// included, as tools that compare values do. Functions are closed to it.
func dumped(v any) string {
	var out strings.Builder
	seen := map[[2]any]bool{}
	var visit func(r reflect.Value)
	visit = func(r reflect.Value) {
		switch r.Kind() {
		case reflect.String:
			out.WriteString(r.String() + "\n")
		case reflect.Pointer, reflect.Interface:
			if r.Kind() == reflect.Pointer {
				key := [2]any{r.Pointer(), r.Type()}
				if seen[key] {
					return
				}
				seen[key] = true
			}
			if !r.IsNil() {
				visit(r.Elem())
			}
		case reflect.Struct:
			for i := range r.NumField() {
				visit(r.Field(i))
			}
		case reflect.Map:
			for it := r.MapRange(); it.Next(); {
				visit(it.Key())
				visit(it.Value())
			}
		case reflect.Slice, reflect.Array:
			if r.Type().Elem().Kind() == reflect.Uint8 && r.Kind() == reflect.Slice {
				fmt.Fprintf(&out, "%s\n", r.Bytes())
				return
			}
			for i := range r.Len() {
				visit(r.Index(i))
			}
		}
	}
	visit(reflect.ValueOf(v))
	return out.String()
}

// exported makes a value of every exported struct of the package, with secrets and
// states in all of them that can hold any.
func exported(t *testing.T) map[string]any {
	ctx := t.Context()
	url := "redis://app:" + secretWord + "@127.0.0.1:1/0"
	a, err := durable.OpenRedisAdapter(ctx, url, nil)
	require.NoError(t, err)
	t.Cleanup(func() { a.Close() })
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", Password: secretWord})
	t.Cleanup(func() { client.Close() })
	lent, err := durable.NewRedisAdapter(client, nil)
	require.NoError(t, err)
	cfg, err := durable.ParseConfig([]byte("state_persistence: {adapter: redis, redis_url: '" + url + "'}"))
	require.NoError(t, err)
	cfg.Options.Spill = a
	file, err := durable.NewFileAdapter(t.TempDir(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	mem := durable.NewMemoryAdapter(nil)
	snap := durable.Snapshot{Data: []byte(`{"Words":{"` + personalWord + `":1}}`), Codec: "json"}
	require.NoError(t, mem.SaveState(ctx, "words", &snap))
	require.NoError(t, file.SaveState(ctx, "words", &snap))
	cp, words := durable.New(mem, testkit.Quiet()), &testkit.WordCounter{}
	require.NoError(t, cp.Register("words", words))
	report, err := cp.Restore(ctx)
	require.NoError(t, err)
	words.Add(personalWord)
	t.Cleanup(func() { cp.Close() })
	bad := fmt.Errorf("wrapped: %w", &durable.Error{Op: "save", ComponentID: "words", Err: errors.New("no")})
	status := durable.ComponentStatus{ComponentID: "words", SavedAt: time.Now(), Err: bad}
	loaded, err := mem.LoadState(ctx, "words")
	require.NoError(t, err)
	_, unreached := a.LoadState(ctx, "words")
	require.Error(t, unreached)
	return map[string]any{
		"Checkpointer": cp, "CloseError": &durable.CloseError{Unsaved: []durable.ComponentStatus{status}},
		"ComponentOptions": durable.ComponentOptions{}, "ComponentStatus": status, "Config": cfg, "Error": unreached,
		"Event": durable.Event{Err: bad}, "FileAdapter": file, "FileOptions": durable.FileOptions{}, "Finding": durable.Finding{},
		"Lease": durable.Lease{}, "MemoryAdapter": mem, "MemoryOptions": durable.MemoryOptions{}, "Options": cfg.Options,
		"RedisAdapter": []any{a, lent}, "RedisOptions": durable.RedisOptions{}, "Report": report, "RestoreResult": report.Results[0],
		"Snapshot": []any{loaded, *loaded, []durable.Snapshot{*loaded}}, "SnapshotInfo": durable.SnapshotInfo{},
		"StatefulComponent": []any{words, &words.StatefulComponent, durable.NewStatefulComponent(map[string]string{personalWord: personalWord})},
	}
}

func TestNoExportedTypePrintsASecretOrAState(t *testing.T) {
	values := exported(t)
	surface, err := os.ReadFile(filepath.Join("internal", "lint", "testdata", "surface.golden"))
	require.NoError(t, err)
	var types []string
	for _, m := range regexp.MustCompile(`(?m)^type (\w+) struct$`).FindAllStringSubmatch(string(surface), -1) {
		types = append(types, m[1])
		require.Contains(t, values, m[1], "give it a value with a secret")
	}
	require.Len(t, values, len(types))
	for name, v := range values {
		require.Empty(t, leaks(printed(v)), name)
		if name == "Snapshot" { // its Data is public: to reflection, and whole in JSON, for adapters
			continue
		}
		require.Empty(t, leaks(dumped(v)), name)
		if b, err := json.Marshal(v); err == nil {
			require.Empty(t, leaks(string(b)), name)
		}
	}
	require.Contains(t, fmt.Sprintf("%v", values["RedisAdapter"]), `durable adapter "redis"`)
	require.Contains(t, fmt.Sprint(values["Snapshot"]), "Bytes=")
}

func TestTheSearchForSecretsFindsWhatIsPlanted(t *testing.T) {
	type plain struct{ Data, Password []byte }
	for _, v := range []any{
		secretWord, []byte(personalWord), plain{Data: []byte(personalWord)}, &plain{Password: []byte("x" + secretWord + "x")}, map[string]int{personalWord: 1},
		errors.New("dial redis://:" + secretWord + "@h"),
	} {
		require.NotEmpty(t, leaks(printed(v)), "%T", v)
		require.NotEmpty(t, leaks(dumped(struct{ hidden any }{v})+fmt.Sprint(v)), "%T", v)
	}
	for _, form := range spelled(secretWord) {
		require.NotEmpty(t, leaks("a "+form+" b"))
	}
}

type ratios struct{ Of map[string]float64 }

func TestNothingThatARunSaysHoldsASecretOrAState(t *testing.T) {
	server := redistest.Start(t, "--requirepass", secretWord)
	var out testkit.Journal
	o := &durable.Options{
		Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})), Interval: 10 * time.Millisecond,
		SaveTimeout: time.Second, CloseTimeout: time.Second, OnEvent: func(e durable.Event) { fmt.Fprintf(&out, "%+v %#v\n", e, e.Err) },
	}
	say := func(values ...any) {
		for _, v := range values {
			fmt.Fprintf(&out, "%v %+v %#v %s %q\n", v, v, v, v, v)
		}
	}
	a := testkit.OpenRedis(t, "redis://:"+secretWord+"@"+server.Addr, &durable.RedisOptions{MaxStateBytes: 4096})
	require.NoError(t, a.SaveState(t.Context(), "rejected", &durable.Snapshot{Codec: "json", Data: []byte(`{"Of":{"` + personalWord + `":"` + personalWord + `"}}`)}))
	cp := durable.New(a, o)
	words, large, nan, rejected := &testkit.WordCounter{}, &testkit.Custom{}, &durable.StatefulComponent[ratios]{}, &durable.StatefulComponent[ratios]{}
	for id, c := range map[string]durable.Component{"words": words, "large": large, "nan": nan, "rejected": rejected} {
		require.NoError(t, cp.Register(id, c))
	}
	report, err := cp.Restore(t.Context())
	require.ErrorContains(t, err, "rejected")
	say(report, err, cp.Status(), cp.Health())
	words.Add(personalWord)
	large.Data = bytes.Repeat([]byte(personalWord), 1000)
	nan.Update(func(r *ratios) { r.Of = map[string]float64{personalWord: math.NaN()} })
	say(cp.Checkpoint(t.Context()), nan.CheckpointState(t.Context()))
	server.Kill()
	words.Add("more")
	say(words.CheckpointState(t.Context()), cp.Health())
	err = cp.Close()
	require.Error(t, err)
	say(err, cp, a, cp.Status())
	text := out.Text()
	for _, met := range []string{"rejected", "too large", "NaN", "refused"} {
		require.Contains(t, text, met)
	}
	for line := range strings.Lines(text) {
		require.Empty(t, leaks(line), line)
	}
}
