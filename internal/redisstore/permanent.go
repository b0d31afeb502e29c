package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/internal/store"
)

// A lasting answer is one that a server gives for as long as nobody acts, and what
// to do about it. Whatever is not named here is waited for: LOADING, READONLY,
// MASTERDOWN, CLUSTERDOWN, TRYAGAIN, BUSY, NOREPLICAS, OOM and MISCONF pass, and
// certificates are renewed.
var lasting = []struct{ code, text, advice string }{
	{code: "WRONGPASS", advice: "check user and password"},
	{code: "NOAUTH", advice: "check user and password"},
	{text: "invalid password", advice: "check user and password"},
	{text: "without any password configured", advice: "the server has no password: remove it from the URL, or set one there"},
	{code: "NOPERM", advice: acl},
	{text: "The user executing the script can't", advice: acl},
	{code: "DENIED", advice: "give the server a password or switch its protected mode off"},
	{text: "DB index", advice: "choose a database that the server has; databases sets their number"},
	{text: "SELECT is not allowed", advice: "a cluster has no databases to choose from"},
	{code: "WRONGTYPE", advice: "choose another key prefix or remove the key"},
	{text: "unknown command", advice: needs},
	{text: "Unknown Redis command", advice: needs},
	{code: "CROSSSLOT", text: "same slot", advice: "what stands in braces must decide the slot of a key, as in Redis Cluster: look at the hashing policy of the database"},
	{text: "cluster support disabled", advice: "it is no cluster: leave out mode=cluster, or use redis.Client"},
}

const (
	acl   = "the ACL of this user is too narrow: the documentation of RedisAdapter has the line"
	needs = "the server lacks a command that is needed, or renames it"
)

// permanent reports that the answer err will not change by waiting, and what to do.
func (s *Store) permanent(err error) (advice string, is bool) {
	var levels levelError
	switch {
	case errors.As(err, &levels):
		return "", true
	case isSentinel(err):
		return s.noMaster(err)
	case !isServer(err):
		return "", false
	}
	if _, single := s.client.(*redis.Client); single && hasCode(err, "MOVED") {
		return "the server is one of a cluster: use mode=cluster, or redis.ClusterClient", true
	}
	for _, l := range lasting {
		if l.code != "" && hasCode(err, l.code) || l.text != "" && strings.Contains(err.Error(), l.text) {
			return l.advice, true
		}
	}
	return "", false
}

// noMaster judges what the sentinels said: permanent when each of them answered.
func (s *Store) noMaster(err error) (advice string, is bool) {
	each, ok := errors.Unwrap(err).(interface{ Unwrap() []error })
	if !ok {
		return "", false
	}
	for _, e := range each.Unwrap() {
		if errors.Is(e, redis.Nil) {
			advice = "no sentinel knows a master of this name: check master_name"
		} else if advice, is = s.permanent(e); !is {
			return "", false
		}
	}
	return advice, advice != ""
}

// errLasting is an answer about one component that will not change by waiting.
func errLasting(format string, args ...any) error {
	return store.MarkPermanent(fmt.Errorf(format, args...))
}

const (
	leastBulk = 1 << 20 // the lowest proto-max-bulk-len that a server accepts
	mostCuts  = 3       // in a row, by a server that answers in between
)

// tooLarge returns store.ErrTooLarge where the server does not take the value of j,
// which ended with err. A server ends the connection at a value above its own limit,
// mostly before its answer can be read; so does one that is restarted, or a proxy
// without one, of which cuts counts none: it does not answer in between.
func (s *Store) tooLarge(ctx context.Context, j *job, err error, cuts *int) error {
	text := err.Error()
	if strings.Contains(text, "invalid bulk length") || strings.Contains(text, "exceeds maximum allowed size") {
		return fmt.Errorf("%w: %d bytes are above the server's own limit: raise its proto-max-bulk-len, or keep less state", store.ErrTooLarge, len(j.stage))
	}
	if *cuts++; !isCut(err) || len(j.stage) < leastBulk || !s.isThere(ctx, j.key()) {
		*cuts = 0
	}
	if *cuts < mostCuts {
		return nil
	}
	return fmt.Errorf("%w: the server ended the connection each time it was sent %d bytes, and answers otherwise: "+
		"its proto-max-bulk-len is probably below that; raise it, or keep less state", store.ErrTooLarge, len(j.stage))
}

// isThere reports that the server that has key answers.
func (s *Store) isThere(ctx context.Context, key string) bool {
	_, err := await(ctx, s, func() (string, error) {
		c, err := s.node(ctx, key)
		if err != nil {
			return "", err
		}
		return c.Ping(ctx).Result()
	})
	return err == nil
}

// isCut reports that a connection ended without an answer.
func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
