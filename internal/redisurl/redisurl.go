// Package redisurl reads the address of a Redis server, sentinel group or cluster,
// strictly and without the Redis client.
package redisurl

import (
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Target is a server, a sentinel group or a cluster, as a URL names it.
type Target struct {
	URL                            *url.URL // without what stands below
	Mode                           string   // "", "sentinel", "cluster"
	User, Password                 string
	SentinelUser, SentinelPassword string
	SkipVerify                     bool
}

const percent = "percent-encode special characters, also in user and password (a percent sign is %25)"

// Parse reads raw and says everything that is wrong with it. It quotes nothing of
// raw: a mistyped address holds parts of the password where nobody expects them.
func Parse(raw string) (t *Target, wrong []string) {
	if strings.TrimSpace(raw) != raw {
		return nil, []string{"must not have spaces around it"}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, []string{"cannot be parsed; " + percent}
	}
	if !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) || u.Opaque != "" || !strings.Contains(raw, "://") {
		return nil, []string{"must begin with redis://, rediss:// or unix://"}
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Fragment != "" {
		return nil, []string{"has parameters that cannot be parsed; " + percent}
	}
	t = &Target{URL: u, Mode: take(q, "mode"), User: u.User.Username(),
		SentinelUser: take(q, "sentinel_username"), SentinelPassword: take(q, "sentinel_password")}
	t.Password, _ = u.User.Password()
	c := &check{}
	t.SkipVerify = c.boolean("skip_verify", take(q, "skip_verify"))
	c.mode(t, q)
	c.host(t)
	c.parameters(t, q)
	u.RawQuery = q.Encode()
	return t, c.wrong
}

func take(q url.Values, key string) string {
	v := q.Get(key)
	q.Del(key)
	return v
}

type check struct{ wrong []string }

func (c *check) refuse(text string) { c.wrong = append(c.wrong, text) }

// mode judges what belongs together and gives an address without a host its first.
func (c *check) mode(t *Target, q url.Values) {
	switch t.Mode {
	case "", "standalone":
		t.Mode = ""
	case "sentinel":
		if q.Get("master_name") == "" {
			c.refuse("needs the parameter master_name with mode=sentinel")
		}
	case "cluster":
	default:
		c.refuse("has a mode that is not standalone, sentinel or cluster")
		t.Mode = ""
	}
	if t.Mode != "" && t.URL.Scheme == "unix" {
		c.refuse("must begin with redis:// or rediss:// with mode=" + t.Mode)
	}
	if t.Mode != "sentinel" && t.SentinelUser+t.SentinelPassword != "" {
		c.refuse("has sentinel_username or sentinel_password without mode=sentinel")
	}
	if t.Mode != "" && t.URL.Host == "" && len(q["addr"]) > 0 {
		t.URL.Host, q["addr"] = q["addr"][0], q["addr"][1:]
	}
}

func (c *check) host(t *Target) {
	path := strings.Trim(t.URL.Path, "/")
	if t.URL.Scheme == "unix" {
		if strings.TrimSpace(t.URL.Path) == "" || t.URL.Host != "" {
			c.refuse("must have the path of the socket behind unix://, beginning with /")
		}
		return
	}
	if p := t.URL.Port(); !isPort(p) && p != "" {
		c.refuse("must have a port from 1 to 65535")
	}
	if strings.ContainsAny(t.URL.Host, ", ") {
		c.refuse("must have one host; name the others as addr=host:port")
	}
	switch {
	case path == "":
	case t.Mode == "cluster":
		c.refuse("must not choose a database: a cluster has none")
	default:
		c.number("the database", path, 0, 1<<31-1)
	}
}

func isPort(p string) bool {
	n, err := strconv.Atoi(p)
	return err == nil && 1 <= n && n <= 65535
}

func (c *check) boolean(name, v string) bool {
	b, err := strconv.ParseBool(v)
	if v != "" && err != nil {
		c.refuse(name + " must be true or false")
	}
	return b
}

func (c *check) number(name, v string, least, most int64) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < least || n > most {
		c.refuse(name + " must be a whole number from " + strconv.FormatInt(least, 10) + " to " + strconv.FormatInt(most, 10))
	}
}

// duration allows whole seconds and what Go reads; 0 and less turn a timeout off.
func (c *check) duration(name, v string) {
	d, err := time.ParseDuration(v)
	if n, isNumber := strconv.ParseInt(v, 10, 64); isNumber == nil {
		d, err = time.Duration(n)*time.Second, nil
		if n > int64(longest/time.Second) {
			d = longest + 1
		}
	}
	if err != nil || 0 < d && d < time.Millisecond || d > longest {
		c.refuse(name + " must be whole seconds such as 5 or a duration such as 500ms, from 1ms to 10 years")
	}
}

const longest = 10 * 365 * 24 * time.Hour

// kinds of parameters, beside those that Parse takes.
var (
	ofAll = map[string]kind{
		"protocol": number, "client_name": text, "max_retries": number, "min_retry_backoff": duration, "max_retry_backoff": duration,
		"dial_timeout": duration, "read_timeout": duration, "write_timeout": duration, "pool_fifo": boolean, "pool_size": size,
		"pool_timeout": duration, "min_idle_conns": size, "max_idle_conns": size, "max_active_conns": size, "max_concurrent_dials": size,
		"conn_max_idle_time": duration, "conn_max_lifetime": duration, "conn_max_lifetime_jitter": duration,
	}
	ofMode = map[string]map[string]kind{
		"": {"db": number, "idle_timeout": duration, "max_conn_age": duration},
		"sentinel": {
			"db": number, "master_name": text, "addr": hostAndPort, "dialer_retries": size, "dialer_retry_timeout": duration, "use_disconnected_replicas": boolean,
			"context_timeout_enabled": boolean, "disableIdentity": boolean, "identitySuffix": text, "unstable_resp3": boolean,
		},
		"cluster": {"addr": hostAndPort, "max_redirects": number, "dialer_retries": size, "dialer_retry_timeout": duration, "failing_timeout_seconds": number},
	}
	readsReplicas = []string{"read_only", "replica_only", "route_by_latency", "route_randomly"}
)

// Parameters names what an address of that mode may have, beside what Parse takes.
func Parameters(mode string) []string {
	return slices.Concat(slices.Sorted(maps.Keys(ofAll)), slices.Sorted(maps.Keys(ofMode[mode])))
}

type kind int

const (
	unknown kind = iota
	text
	number
	size // of a pool
	duration
	boolean
	hostAndPort
)

// parameters checks those that are left, and names only those that it knows.
func (c *check) parameters(t *Target, q url.Values) {
	strange := false
	for _, name := range slices.Sorted(maps.Keys(q)) {
		k := max(ofAll[name], ofMode[t.Mode][name])
		if k == unknown && slices.Contains(readsReplicas, name) {
			if !slices.Contains([]string{"", "0", "false"}, q.Get(name)) {
				c.refuse("must not have " + name + ": a replica may be behind its primary")
			}
			q.Del(name)
			continue
		}
		if k == unknown && !strange {
			c.refuse("has a parameter that is unknown" + ofWhich(t.Mode) + "; " + percent)
			strange = true
		}
		if len(q[name]) > 1 && k != unknown && k != hostAndPort {
			c.refuse("has " + name + " more than once")
		}
		for _, v := range q[name] {
			c.parameter(name, v, k)
		}
	}
}

func ofWhich(mode string) string {
	if mode == "" {
		return ""
	}
	return " with mode=" + mode
}

func (c *check) parameter(name, v string, k kind) {
	if v == "" {
		return
	}
	switch k {
	case number:
		least := int64(-1)
		if name == "db" || name == "protocol" {
			least = 0
		}
		c.number(name, v, least, 1<<31-1)
	case size:
		c.number(name, v, 0, 10_000)
	case duration:
		c.duration(name, v)
	case boolean:
		if v != "true" && v != "false" && v != "1" && v != "0" {
			c.refuse(name + " must be true or false")
		}
	case hostAndPort:
		if h, p, err := net.SplitHostPort(v); err != nil || h == "" || !isPort(p) {
			c.refuse("addr must be host:port")
		}
	}
}
