package redisurl_test

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisurl"
)

func TestEverythingThatIsWrongWithAnAddressIsSaidAtOnce(t *testing.T) {
	_, wrong := redisurl.Parse("rediss://u:s3cret@h:99999/zero?pool_size=-5&read_timeout=60ns&skip_verify=maybe&s3cret=1&max_retries=99999999999")
	for _, want := range []string{
		"must have a port from 1 to 65535", "the database must be a whole number", "pool_size must be", "read_timeout must be",
		"skip_verify must be", "has a parameter that is unknown", "max_retries must be",
	} {
		require.Contains(t, strings.Join(wrong, "; "), want)
	}
	require.NotContains(t, strings.Join(wrong, "; "), "s3cret")
}

func TestAnAddressThatTheClientWouldTakeForAnotherIsRefused(t *testing.T) {
	for raw, want := range map[string]string{
		"redis://a:1,b:2":                     "must have one host; name the others as addr=host:port",
		" redis://h":                          "must not have spaces around it",
		"redis://h/0 ":                        "must not have spaces around it",
		"redis://h?pool_size=5&pool_size=500": "has pool_size more than once",
	} {
		_, wrong := redisurl.Parse(raw)
		require.Equal(t, []string{want}, wrong, raw)
	}
	for _, raw := range []string{"redis://h?mode=cluster&addr=b:2&addr=c:3", "redis://[::1]:6379", "redis://:a%2Cb@h", "redis://u,v:p,w@h"} {
		_, wrong := redisurl.Parse(raw)
		require.Empty(t, wrong, raw)
	}
}

// What is accepted here the client reads as well, or opening would find another
// problem after all.
func TestTheClientReadsWhatIsAccepted(t *testing.T) {
	values := map[string]string{"db": "1", "protocol": "2", "client_name": "n", "addr": "h2:2", "master_name": "m", "identitySuffix": "x"}
	durations, numbers := "_timeout _backoff _time lifetime jitter max_conn_age", "max_ min_ pool_size retries seconds"
	value := func(name string) string {
		if v := values[name]; v != "" {
			return v
		}
		for part := range strings.FieldsSeq(durations) {
			if strings.Contains(name, part) && name != "failing_timeout_seconds" && name != "context_timeout_enabled" {
				return "5s"
			}
		}
		for part := range strings.FieldsSeq(numbers) {
			if strings.Contains(name, part) {
				return "7"
			}
		}
		return "true"
	}
	for _, mode := range []string{"", "sentinel", "cluster"} {
		names := redisurl.Parameters(mode)
		require.Greater(t, len(names), 15)
		for _, name := range names {
			raw := "redis://h:1?" + name + "=" + value(name)
			if mode != "" {
				raw += "&mode=" + mode
			}
			if mode == "sentinel" && name != "master_name" {
				raw += "&master_name=m"
			}
			target, wrong := redisurl.Parse(raw)
			require.Empty(t, wrong, raw)
			require.NoError(t, clientReads(mode, target.URL.String()), raw)
		}
	}
}

func clientReads(mode, raw string) (err error) {
	switch mode {
	case "sentinel":
		_, err = redis.ParseFailoverURL(raw)
	case "cluster":
		_, err = redis.ParseClusterURL(raw)
	default:
		_, err = redis.ParseURL(raw)
	}
	return err
}
