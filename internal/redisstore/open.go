package redisstore

import (
	"errors"
	"strings"

	"github.com/durablestate/durable/internal/redact"
	"github.com/durablestate/durable/internal/redisurl"
)

// Open returns a store on a client of its own, built from a URL. The server need
// not be up. Errors never quote the URL.
func Open(rawURL string, o Options) (*Store, error) {
	u, wrong := redisurl.Parse(rawURL)
	if wrong != nil {
		return nil, errURL(strings.Join(wrong, "; "))
	}
	s := configure(o)
	t := target{u}
	client, err := t.client(patience(tries-1) + transfer(s.limit()))
	if err != nil {
		s.cancel()
		return nil, err
	}
	s.owned, s.prompt = true, true
	if t.Mode == "sentinel" {
		q := t.URL.Query()
		s.where = place(append(q["addr"], t.URL.Host)) + "/" + q.Get("master_name") + strings.TrimSuffix(t.URL.Path, "/")
	}
	s.tls, s.secrets = t.URL.Scheme == "rediss", redact.New(t.Password, t.SentinelPassword)
	if t.Password == "" && len(t.User) >= 8 { // perhaps the password stands where the user belongs
		s.secrets = redact.New(t.User, t.SentinelPassword)
	}
	s.use(client)
	return s, nil
}

// A target is what a URL names, as the client wants it.
type target struct{ *redisurl.Target }

func errURL(what string) error {
	return errors.New("invalid redis URL, not shown because it may hold a password: it " + what)
}
