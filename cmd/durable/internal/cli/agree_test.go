package cli_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// copied returns a place of its own with the files of p.
func (p *place) copied(t *testing.T) *place {
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.CopyFS(dir, os.DirFS(p.dir)))
	return &place{dir: dir, config: yaml(t, "adapter: file\n  directory: "+dir)}
}

// shown is what show says of a component: the state, 0 where a restart starts
// fresh.
func shown(t *testing.T, p *place, id string) int {
	r := run(t, "show", "-c", p.config, id, "--raw")
	if r.code == 4 {
		return 0
	}
	require.Zero(t, r.code, r.err)
	var s tally
	require.NoError(t, json.Unmarshal([]byte(r.out), &s))
	return s.N
}

// requireShownIsRestored compares what show says with what restarts on copies of
// the store find, and with what they find in a copy made by the tool.
func (p *place) requireShownIsRestored(t *testing.T, story []string) {
	left, right := shown(t, p, "app/left"), shown(t, p, "app/right")
	between, moved := redisPlace(t), filePlace(t)
	ok(t, "copy", "--from", p.config, "--to", between.config)
	ok(t, "copy", "--from", between.config, "--to", moved.config)
	for _, cut := range []bool{true, false} {
		for what, again := range map[string]*place{"restart": p.copied(t), "copy": moved.copied(t)} {
			l, r := again.run(t, cut).values()
			require.Equal(t, [2]int{l, r}, [2]int{left, right}, "%s, consistent: %v, shown is not restored after:\n%s", what, cut, strings.Join(story, "\n"))
		}
	}
}

// A store that has seen programs of both kinds, with and without an orderly end,
// rollbacks and deletions. Whatever the tool does or refuses, it shows what a
// restart restores, and a rollback that it makes is what a restart restores.
func TestWhatIsShownIsWhatARestartRestores(t *testing.T) {
	stories := uint64(6)
	if n, err := strconv.ParseUint(os.Getenv("DURABLE_STORIES"), 10, 64); err == nil {
		stories = n
	}
	for seed := range stories {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 7))
			p := filePlace(t)
			o := p.run(t, seed%2 == 0)
			o.save(t, 1)
			require.NoError(t, o.cp.Close())
			var story []string
			for step := range 6 {
				story = append(story, p.something(t, rnd, 100*(step+1)))
				p.requireShownIsRestored(t, story)
			}
		})
	}
}

var ids = []string{"app/left", "app/right", "app/~set"}

// something happens to the store.
func (p *place) something(t *testing.T, rnd *rand.Rand, n int) string {
	id := ids[rnd.IntN(len(ids))]
	switch rnd.IntN(6) {
	case 0:
		r := run(t, "delete", "-c", p.config, id, "--yes")
		if r.code == 0 && id != "app/~set" {
			require.Zero(t, shown(t, p, id), "nothing of a deleted component comes back")
		}
		return fmt.Sprintf("delete %s: %s%s", id, r.out, r.err)
	case 1, 2:
		list := run(t, "history", "-c", p.config, id, "--json")
		lines := strings.Split(strings.TrimSpace(list.out), "\n")
		if list.code != 0 {
			return "nothing to roll back in " + id
		}
		version := uitoa(uint64(object(t, lines[rnd.IntN(len(lines))])["version"].(float64)))
		chosen := run(t, "show", "-c", p.config, id, "--version", version, "--json")
		r := run(t, "rollback", "-c", p.config, id, version, "--yes", "--force")
		if r.code == 0 {
			require.JSONEq(t, state(t, chosen.out), state(t, ok(t, "show", "-c", p.config, id, "--json")))
		}
		return fmt.Sprintf("rollback %s to %s: %s%s", id, version, r.out, r.err)
	}
	cut := rnd.IntN(2) == 0
	o := p.run(t, cut)
	story := fmt.Sprintf("a program runs, consistent: %v, saves", cut)
	for i := range rnd.IntN(3) {
		o.save(t, n+i)
		story += fmt.Sprint(" ", n+i)
	}
	if rnd.IntN(2) == 0 {
		require.NoError(t, o.cp.Close())
		return story + " and closes"
	}
	return story + " and crashes" // it holds its lease, which its holder name takes back
}

func state(t *testing.T, line string) string {
	b, err := json.Marshal(object(t, line)["state"])
	require.NoError(t, err)
	return string(b)
}
