package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redistest"
)

func TestLs_showsWhatIsSavedAndHidesWhatTheLibraryKeeps(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		a := p.open(t)
		fill(t, a, 7, 2, "app/words", "app/~starts", "~aside/1-1/app/words", "other/x")
		saveSet(t, a, "app/~set", 7, 3, "cut")
		_, err := a.AcquireLease(ctx, "app", "pod-0", 1e12)
		require.NoError(t, err)

		out := ok(t, "ls", "-c", p.config)
		require.Regexp(t, `(?m)^app/words +1h00m +\d+ B +2 +pod-0 +ok +by itself$`, out)
		require.Regexp(t, `(?m)^other/x .* - +ok +by itself$`, out)
		require.Regexp(t, `(?m)^app/~set +1h00m .* ok +all of its components$`, out)
		require.Regexp(t, `(?m)^app/cut +1h00m +12 B +3 +pod-0 +ok +in the set$`, out)
		require.NotContains(t, out, "~starts")
		require.NotContains(t, out, "~aside")
		require.Contains(t, ok(t, "ls", "-c", p.config, "--all"), "~aside/1-1/app/words")

		out = ok(t, "ls", "-c", p.config, "--system", "app", "--all", "--json")
		require.Len(t, strings.Split(strings.TrimSpace(out), "\n"), 5, "the system and what was set aside of it")
		first := object(t, strings.SplitN(out, "\n", 2)[0])
		require.Equal(t, "app/cut", first["id"])
		require.Equal(t, "pod-0", first["owner"])
	})
}

func TestShowHistoryAndDiff(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		a := p.open(t)
		save(t, a, "app/c", 7, 1, `{"n":1,"gone":[1,2],"big":12345678901234567890}`)
		save(t, a, "app/c", 7, 2, `{"n":2,"new":{"x":null},"big":12345678901234567891}`)

		out := ok(t, "show", "-c", p.config, "--system", "app", "c")
		require.Contains(t, out, "fence      epoch 7, version 2")
		require.Contains(t, out, "schema 2")
		require.Contains(t, out, "nobody ever owned it")
		require.Contains(t, out, `  "n": 2,`)
		require.Equal(t, `{"n":1,"gone":[1,2],"big":12345678901234567890}`, ok(t, "show", "-c", p.config, "app/c", "--version", "1", "--raw"))
		state := object(t, ok(t, "show", "-c", p.config, "app/c", "--json"))["state"]
		require.EqualValues(t, 2, state.(map[string]any)["n"])

		require.Len(t, strings.Split(strings.TrimSpace(ok(t, "history", "-c", p.config, "app/c", "--json")), "\n"), 2)
		require.Equal(t, "~ big: 12345678901234567890 -> 12345678901234567891\n- gone[0]: 1\n- gone[1]: 2\n~ n: 1 -> 2\n+ new.x: null\n",
			ok(t, "diff", "-c", p.config, "app/c", "1", "2"))
		fails(t, 3, "differ", "diff", "-c", p.config, "app/c", "1", "2", "--exit-code")
		require.Empty(t, ok(t, "diff", "-c", p.config, "app/c", "2", "2"))

		fails(t, 4, "there are 2, 1", "show", "-c", p.config, "app/c", "--version", "9")
		fails(t, 4, "there are 2, 1", "diff", "-c", p.config, "app/c", "1", "9")
		fails(t, 4, `no component "app/d"`, "show", "-c", p.config, "app/d")
		fails(t, 4, `no component "app/d"`, "history", "-c", p.config, "app/d")
		fails(t, 2, "no version", "diff", "-c", p.config, "app/c", "1", "two")
		require.NoError(t, a.DeleteState(ctx, "app/c"))
		fails(t, 4, "was deleted", "show", "-c", p.config, "app/c")
	})
}

func TestShow_setsAreShownMemberByMember(t *testing.T) {
	p := filePlace(t)
	a := p.open(t)
	saveSet(t, a, "app/~set", 1, 5, "one", "two")
	out := ok(t, "show", "-c", p.config, "app/~set")
	require.Contains(t, out, "# one: version 5, 12 B\n{\n  \"is\": \"one\"\n}\n# two:")
	require.Contains(t, ok(t, "show", "-c", p.config, "app/~set", "--json"), `"state":{"one":{"is":"one"},"two":{"is":"two"}}`)
	ok(t, "drill", "-c", p.config)
}

// rot damages the newest generation of a component with n versions.
func (p *place) rot(t *testing.T, id string, n int) {
	if p.dir == "" {
		c := redistest.Shared(t).Client(t)
		v, err := c.Get(ctx, p.prefix+id).Result()
		require.NoError(t, err)
		require.NoError(t, c.Set(ctx, p.prefix+id, v[:len(v)-3]+"###", 0).Err())
		return
	}
	marker := fmt.Sprintf(`"version":%d}`, n)
	files, err := filepath.Glob(filepath.Join(p.dir, "c-*"))
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		if strings.Contains(string(b), `{"id":"`+id+`",`+marker) {
			require.NoError(t, os.WriteFile(f, []byte(strings.Replace(string(b), `{"id":"`+id+`",`+marker, `{"id":"`+id+`","versiom":`+fmt.Sprint(n)+"}", 1)), 0o600))
			return
		}
	}
	t.Fatal("not found")
}

func TestDamageIsFoundEveryTimeAndNothingIsChanged(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		a := p.open(t)
		fill(t, a, 7, 3, "app/good", "app/bad")
		require.NoError(t, a.Close())
		p.rot(t, "app/bad", 3)
		before := p.picture(t)
		for range 2 {
			r := fails(t, 3, "1 component is not sound", "verify", "-c", p.config)
			require.Regexp(t, `(?m)^app/bad +2 +3 +fell-back `, r.out)
			require.Contains(t, r.out, "2 components, 6 generations")
			r = fails(t, 3, "would not come back whole", "drill", "-c", p.config)
			require.Regexp(t, `app/bad +fell-back`, r.out)
			fails(t, 3, "to look at", "doctor", "-c", p.config)
			require.Contains(t, ok(t, "ls", "-c", p.config), "2 of 3")
			ok(t, "verify", "-c", p.config, "app/good")
			ok(t, "watch", "-c", p.config, "-n", "1")
			ok(t, "history", "-c", p.config, "app/bad")
			ok(t, "show", "-c", p.config, "app/bad")
			run(t, "lease", "show", "-c", p.config)
		}
		require.Equal(t, before, p.picture(t))
	})
}

func TestReadingCreatesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "absent")
	empty := t.TempDir()
	for _, cmd := range [][]string{{"ls"}, {"verify"}, {"show", "x"}, {"history", "x"}, {"doctor"}, {"drill"}, {"watch"}, {"lease", "show"},
		{"delete", "x", "--yes"}, {"rollback", "x", "1", "--yes"}, {"export", filepath.Join(empty, "out")}} {
		fails(t, 4, "volume mounted", append(cmd, "--directory", dir)...)
		fails(t, 4, "holds no store", append(cmd, "--directory", empty)...)
	}
	require.NoDirExists(t, dir)
	left, err := os.ReadDir(empty)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestCompletionKnowsTheComponents(t *testing.T) {
	p := filePlace(t)
	fill(t, p.open(t), 1, 1, "app/words", "app/work", "app/other")
	out := ok(t, "__complete", "-c", p.config, "--system", "app", "show", "wor")
	require.Contains(t, out, "words\nwork\n")
	require.NotContains(t, out, "other")
	require.Contains(t, ok(t, "completion", "bash"), "durable")
}

func TestDamageOfAnOlderGenerationIsNotMovedAwayByLooking(t *testing.T) {
	p := redisPlace(t)
	fill(t, p.open(t), 7, 3, "app/bad")
	c := redistest.Shared(t).Client(t)
	require.NoError(t, c.Set(ctx, "{"+p.prefix+"app/bad}:g:2", "rot", 0).Err())
	before := p.picture(t)
	for range 2 {
		r := fails(t, 3, "not sound", "verify", "-c", p.config)
		require.Regexp(t, `app/bad +3 +3 +degraded`, r.out)
		require.Regexp(t, ` 2 .* corrupt\n`, ok(t, "history", "-c", p.config, "app/bad"))
	}
	require.Equal(t, before, p.picture(t))
}
