package config

import (
	"net/url"
	"slices"
	"strings"
)

// RedisAddress returns what is under redis_url, with the parameters that
// redis_mode and redis_master add; empty when it is absent or refused. It only
// looks at what stands before and behind host and credentials: the rest is for
// the Redis store, which knows several hosts in one address.
func (s *Section) RedisAddress() Secret {
	address := s.Secret("redis_url").Reveal()
	mode := s.Choice("redis_mode", "standalone", "sentinel", "cluster")
	master := s.Text("redis_master")
	if master != "" && mode != "" && mode != "sentinel" {
		s.Refuse("redis_master", "belongs to redis_mode sentinel")
	}
	if address == "" {
		return Secret{}
	}
	return NewSecret(s.redisAddress(address, mode, master))
}

func (s *Section) redisAddress(address, mode, master string) string {
	scheme, _, ok := strings.Cut(address, "://")
	if !ok || !slices.Contains([]string{"redis", "rediss", "unix"}, scheme) {
		s.Refuse("redis_url", "must begin with redis://, rediss:// or unix://")
		return ""
	}
	_, query, _ := strings.Cut(address, "?")
	given, err := url.ParseQuery(query)
	if _, bad := url.PathUnescape(address); err != nil || bad != nil {
		s.Refuse("redis_url", "is malformed; percent-encode special characters, also in the password (a percent sign is %%25)")
		return ""
	}
	added := url.Values{}
	add := func(key, parameter, value string) {
		if old := given.Get(parameter); value != "" && old == "" {
			added.Set(parameter, value)
		} else if value != "" && old != value {
			s.Refuse(key, "differs from the parameter %s of redis_url; keep one", parameter)
		}
	}
	add("redis_mode", "mode", mode)
	add("redis_master", "master_name", master)
	if mode == "sentinel" && master == "" && given.Get("master_name") == "" {
		s.Refuse("redis_master", "is missing; redis_mode sentinel needs the name of the master")
	}
	switch {
	case len(added) == 0:
		return address
	case query == "":
		return strings.TrimSuffix(address, "?") + "?" + added.Encode()
	default:
		return address + "&" + added.Encode()
	}
}
