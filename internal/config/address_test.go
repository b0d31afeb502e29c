package config_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/config"
)

func redisURL(t *testing.T, yaml string) (address string) {
	t.Helper()
	require.NoError(t, config.Decode([]byte("b:\n  redis_url: "+yaml+"\n"), "b", os.LookupEnv, func(s *config.Section) {
		address = s.RedisAddress().Reveal()
	}))
	return address
}

func text(t *testing.T, yaml string) (text string) {
	t.Helper()
	require.NoError(t, config.Decode([]byte("b:\n  text: "+yaml+"\n"), "b", os.LookupEnv, func(s *config.Section) {
		text = s.Text("text")
	}))
	return text
}

func TestConfig_expands_values_once_and_leaves_other_dollars_alone(t *testing.T) {
	const inject = `redis://h/0?x="} ,keep: 9 # &a *b !t`
	t.Setenv("PASSWORD", "a$x${HOST}$$b")
	t.Setenv("HOST", "example")
	t.Setenv("EMPTY", "")
	t.Setenv("INJECT", inject)
	for yaml, want := range map[string]string{
		"'${INJECT}'":                             inject,
		"redis://:pa$x$word@h":                    "redis://:pa$x$word@h",
		"redis://:pa$$x$${HOST}@h":                "redis://:pa$x${HOST}@h",
		"redis://:${PASSWORD}@${HOST}":            "redis://:a$x${HOST}$$b@example",
		"redis://${UNSET_HOST:-local}:6379":       "redis://local:6379",
		"redis://${EMPTY:-local}:6379":            "redis://local:6379",
		"redis://h:6379/${EMPTY}":                 "redis://h:6379/",
		"redis://${HOST:?set it}/${HOST:-unused}": "redis://example/example",
		"redis://h/${UNSET_DB:-$$1}$":             "redis://h/$1$",
		"'redis://${HOST}'":                       "redis://example",
	} {
		require.Equal(t, want, text(t, yaml), yaml)
	}
}

func TestConfig_redis_mode_and_redis_master_become_parameters_of_the_address(t *testing.T) {
	for yaml, want := range map[string]string{
		"redis://h\n  redis_mode: cluster":                                 "redis://h?mode=cluster",
		"redis://h?\n  redis_mode: cluster":                                "redis://h?mode=cluster",
		"redis://h?mode=cluster\n  redis_mode: cluster":                    "redis://h?mode=cluster",
		"rediss://h/1?db=2\n  redis_mode: sentinel\n  redis_master: a&b c": "rediss://h/1?db=2&master_name=a%26b+c&mode=sentinel",
		"redis://h?master_name=m\n  redis_mode: sentinel":                  "redis://h?master_name=m&mode=sentinel",
		"unix:///run/redis.sock":                                           "unix:///run/redis.sock",
	} {
		require.Equal(t, want, redisURL(t, yaml), yaml)
	}
}

func TestConfig_a_master_without_sentinels_is_refused_under_its_own_name(t *testing.T) {
	for _, yaml := range []string{"redis://h\n  redis_master: m", "redis://h?mode=cluster\n  redis_master: m", "redis://h\n  redis_mode: standalone\n  redis_master: m"} {
		err := config.Decode([]byte("b:\n  redis_url: "+yaml+"\n"), "b", os.LookupEnv, func(s *config.Section) { s.RedisAddress() })
		require.ErrorContains(t, err, "b.redis_master: belongs to redis_mode sentinel", yaml)
		require.NotContains(t, err.Error(), "redis_url", yaml)
	}
	require.Equal(t, "redis://h?mode=sentinel&master_name=m", redisURL(t, "redis://h?mode=sentinel\n  redis_master: m"))
}
