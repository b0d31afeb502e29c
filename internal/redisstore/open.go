package redisstore

import (
	"errors"
	"net/url"
	"strconv"

	"github.com/durablestate/durable/internal/redact"
)

// Open returns a store on a client of its own, built from a URL. The server need
// not be up. Errors never quote the URL: a mistyped one holds parts of the
// password where nobody expects them.
func Open(rawURL string, o Options) (*Store, error) {
	s, err := configure(o)
	if err != nil {
		return nil, err
	}
	t, err := parseTarget(rawURL)
	if err != nil {
		return nil, err
	}
	client, err := t.client(patience(tries-1) + transfer(s.limit()))
	if err != nil {
		return nil, err
	}
	s.use(client)
	s.owned = true
	s.tls, s.secrets = t.url.Scheme == "rediss", redact.New(t.password, t.sentinelPassword)
	return s, nil
}

// A target is a server, a sentinel group or a cluster, as a URL names it.
type target struct {
	url                            *url.URL // without what stands below
	mode                           string   // "", "sentinel", "cluster"
	user, password                 string
	sentinelUser, sentinelPassword string
	skipVerify                     bool
}

func errURL(what string) error {
	return errors.New("invalid redis URL, not shown because it may hold a password: " + what)
}

func parseTarget(raw string) (*target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errURL("it cannot be parsed; percent-encode special characters in user and password")
	}
	switch u.Scheme {
	case "redis", "rediss", "unix":
	default:
		return nil, errURL("it must begin with redis://, rediss:// or unix://")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Fragment != "" || u.Opaque != "" {
		return nil, errURL("its parameters cannot be parsed; percent-encode special characters in user and password")
	}
	t := &target{url: u, mode: take(q, "mode"), user: u.User.Username(),
		sentinelUser: take(q, "sentinel_username"), sentinelPassword: take(q, "sentinel_password")}
	t.password, _ = u.User.Password()
	if v := take(q, "skip_verify"); v != "" {
		if t.skipVerify, err = strconv.ParseBool(v); err != nil {
			return nil, errURL("skip_verify must be true or false")
		}
	}
	return t, t.check(q)
}

// check judges what belongs together and gives a URL without a host its first address.
func (t *target) check(q url.Values) error {
	switch t.mode {
	case "", "standalone":
		t.mode = ""
	case "sentinel":
		if q.Get("master_name") == "" {
			return errURL("mode=sentinel needs the parameter master_name")
		}
	case "cluster":
	default:
		return errURL("mode must be sentinel or cluster")
	}
	if t.mode != "" && t.url.Scheme == "unix" {
		return errURL("mode=" + t.mode + " needs redis:// or rediss://")
	}
	if t.mode != "sentinel" && t.sentinelUser+t.sentinelPassword != "" {
		return errURL("sentinel_username and sentinel_password need mode=sentinel")
	}
	if t.mode != "" && t.url.Host == "" && len(q["addr"]) > 0 {
		t.url.Host, q["addr"] = q["addr"][0], q["addr"][1:]
	}
	t.url.RawQuery = q.Encode()
	return nil
}

func take(q url.Values, key string) string {
	v := q.Get(key)
	q.Del(key)
	return v
}
