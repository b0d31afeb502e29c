package config_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/config"
	"github.com/durablestate/durable/internal/limits"
)

func unset(string) (string, bool) { return "", false }

func TestDecode_hands_over_what_was_accepted_and_reports_the_rest(t *testing.T) {
	var text string
	var d time.Duration
	var ok bool
	err := config.Decode([]byte("b:\n  text: hello\n  d: soon\n  n: 1\n"), "b", unset, func(s *config.Section) {
		text = s.Text("text")
		d, ok = s.Duration(&limits.Limit{Key: "d", Unit: limits.Duration, Most: 10})
	})
	require.Equal(t, "hello", text)
	require.Zero(t, d)
	require.False(t, ok)
	var all *config.Error
	require.ErrorAs(t, err, &all)
	require.Len(t, all.Problems, 2)
	require.Equal(t, config.Problem{Line: 4, Key: "b.n", Text: "unknown key; allowed are text, d"}, all.Problems[1])
}

func TestDecode_follows_aliases_and_reads_blocks_of_any_document(t *testing.T) {
	const doc = "x: &x {k: &k 7}\n---\ny: &y {k: 8}\nb: *y\n"
	require.NoError(t, config.Decode([]byte(doc), "b", unset, func(s *config.Section) {
		require.EqualValues(t, 8, s.Number(&limits.Limit{Key: "k", Least: 1, Most: 10}))
	}))
	require.NoError(t, config.Decode([]byte("a: &a 3\nb: {k: *a}\n"), "b", unset, func(s *config.Section) {
		require.EqualValues(t, 3, s.Number(&limits.Limit{Key: "k", Least: 1, Most: 10}))
	}))
}

func TestDecode_suggests_keys_that_are_close_and_no_others(t *testing.T) {
	for written, suggested := range map[string]string{
		"redis_ur1": "redis_url", "redisUrl": "redis_url", "REDIS-URL": "redis_url", "url": "redis_url",
		"snapshot_intervall": "snapshot_interval", "interval": "snapshot_interval",
		"tt": "", "password": "", "x": "",
	} {
		err := config.Decode([]byte("b: {"+written+": 1}"), "b", unset, func(s *config.Section) {
			s.Text("redis_url")
			s.Text("snapshot_interval")
			s.Text("ttl")
		})
		if suggested == "" {
			require.NotContains(t, err.Error(), "did you mean", written)
		} else {
			require.ErrorContains(t, err, "did you mean "+suggested+"?", written)
		}
	}
}

func TestSection_shows_no_value_that_is_secret_comes_from_a_variable_or_looks_like_an_address(t *testing.T) {
	env := func(string) (string, bool) { return "hunter2", true }
	const doc = "b: {plain: word, secret: hunter2, env: '${E}', url: 'redis://:hunter2@h'}"
	require.NoError(t, config.Decode([]byte(doc), "b", env, func(s *config.Section) {
		require.Equal(t, "hunter2", s.Secret("secret").Reveal())
		for key, want := range map[string]string{
			"plain": `"word"`, "secret": "this value", "env": "the value from ${E}", "url": "this value",
		} {
			s.Text(key)
			require.Equal(t, want, s.Shown(key))
		}
	}))
}

func TestSecret_shows_itself_to_Reveal_only(t *testing.T) {
	s := config.NewSecret("hunter2")
	require.Equal(t, "hunter2", s.Reveal())
	require.Empty(t, config.Secret{}.Reveal())
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s), "hunter2")
	require.NotContains(t, fmt.Sprintf("%#v", struct{ s config.Secret }{s}), "hunter2")
}
