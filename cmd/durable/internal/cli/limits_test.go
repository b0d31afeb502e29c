package cli_test

import "testing"

func TestWrongFlagsAreNamedAsTheyWereGiven(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	for _, c := range []struct {
		say  string
		args []string
	}{
		{`--directory must not begin with "~"`, []string{"ls", "--directory", "~/state"}},
		{"--key-prefix must be", []string{"ls", "--redis-url", "redis://h", "--key-prefix", "{p}"}},
		{"--redis-url must have a port", []string{"ls", "--redis-url", "redis://h:99999"}},
		{"--adapter must be redis, file or memory", []string{"ls", "--adapter", "reddis", "--directory", "x"}},
		{"--system must be", []string{"ls", "--directory", "x", "--system", "a/b"}},
		{"--replica must be", []string{"ls", "--directory", "~x", "--system", "a/b", "--replica", "~r"}},
		{"--system must be", []string{"ls", "--directory", "~x", "--system", "a/b", "--replica", "~r"}},
		{"--system must be", []string{"ls", "-c", filePlaceWith(t, "x").config, "--system", "~aside"}},
	} {
		fails(t, 2, c.say, c.args...)
	}
	t.Setenv("REDIS_URL", "redis://u:sesame@h:port")
	fails(t, 2, "the environment variable REDIS_URL cannot be parsed", "ls")
}
