package config

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/durablestate/durable/internal/limits"
)

// RedisAddress returns what is under redis_url, with the parameters that
// redis_mode and redis_master add; empty when it is absent or refused.
func (s *Section) RedisAddress() Secret {
	address := s.Secret("redis_url").Reveal()
	mode := s.Checked(limits.Of("redis_mode", ""))
	master := s.Text("redis_master")
	if address == "" {
		if master != "" && mode != "" && mode != "sentinel" {
			s.Refuse("redis_master", "belongs to redis_mode sentinel")
		}
		return Secret{}
	}
	whole, ok := s.redisAddress(address, mode, master)
	if !ok { // said already
		return Secret{}
	}
	if must := limits.Of("redis_url", "").WrongText(whole); must != "" {
		s.Refuse("redis_url", "%s", must)
		return Secret{}
	}
	return NewSecret(whole)
}

// redisAddress adds the parameters; ok is false when they do not go with address.
func (s *Section) redisAddress(address, mode, master string) (whole string, ok bool) {
	_, query, _ := strings.Cut(address, "?")
	given, err := url.ParseQuery(query)
	if err != nil {
		return address, true // which says so
	}
	ok = true
	added := url.Values{}
	add := func(key, parameter, value string) {
		if old := given.Get(parameter); value != "" && old == "" {
			added.Set(parameter, value)
		} else if value != "" && old != value {
			ok = false
			s.Refuse(key, "differs from the parameter %s of redis_url; keep one", parameter)
		}
	}
	add("redis_mode", "mode", mode)
	if master != "" && cmp.Or(mode, given.Get("mode")) != "sentinel" {
		s.Refuse("redis_master", "belongs to redis_mode sentinel")
	} else {
		add("redis_master", "master_name", master)
	}
	if mode == "sentinel" && master == "" && given.Get("master_name") == "" {
		ok = false
		s.Refuse("redis_master", "is missing; redis_mode sentinel needs the name of the master")
	}
	switch {
	case len(added) == 0:
		return address, ok
	case query == "":
		return strings.TrimSuffix(address, "?") + "?" + added.Encode(), ok
	default:
		return address + "&" + added.Encode(), ok
	}
}
