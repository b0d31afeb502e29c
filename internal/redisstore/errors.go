package redisstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/durablestate/durable/internal/store"
)

// An outcome says what an error means for a command that was sent.
type outcome int

const (
	refused    outcome = iota // not executed, and trying again at once would not help
	notApplied                // not executed; another try may be
	unknown                   // may have been executed, or may be executed later
)

// passing are the codes with which a server refuses a command for the moment.
var passing = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "BUSY", "MOVED", "ASK", "NOSCRIPT"}

func classify(err error) outcome {
	var server redis.Error
	var op *net.OpError
	switch {
	case isSentinel(err), errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted), errors.Is(err, errReplica), errors.Is(err, errNoStage), errors.Is(err, errScattered):
		return notApplied
	case isTLS(err):
		return refused
	case errors.As(err, &op) && op.Op == "dial":
		return notApplied
	case errors.As(err, &server):
		for _, code := range passing {
			if hasCode(err, code) {
				return notApplied
			}
		}
		if strings.Contains(err.Error(), "max number of clients") {
			return notApplied
		}
		return refused
	}
	return unknown
}

// isSentinel recognises that no sentinel named a primary. Such an error may wrap
// redis.Nil: it must be recognised before anything asks for that.
func isSentinel(err error) bool {
	return strings.HasPrefix(err.Error(), "redis: all sentinels")
}

func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var host x509.HostnameError
	var alert tls.AlertError
	return errors.As(err, &record) || errors.As(err, &verify) || errors.As(err, &host) || errors.As(err, &alert)
}

// isAlert recognises what the server says of the TLS that it is offered, also later.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// hasCode also finds the code in the text of a server that wraps what a script met.
func hasCode(err error, code string) bool {
	text := strings.TrimPrefix(err.Error(), "ERR ")
	return strings.HasPrefix(text, code+" ") || strings.Contains(text, "-"+code+" ")
}

// word returns err as it may be shown: without secrets, without what a server
// quotes of a command, with advice, and never as redis.Nil, which callers could
// take for "no state".
func (s *Store) word(err error) error {
	if err == nil || errors.Is(err, store.ErrClosed) {
		return err
	}
	advice, permanent := s.permanent(err)
	text := quiet(err)
	if errors.Is(err, redis.Nil) || text != err.Error() {
		err = errors.New(text)
	}
	if advice = cmp.Or(advice, s.advice(err)); advice != "" {
		err = fmt.Errorf("%w (%s)", err, advice)
	}
	if err = s.secrets.Error(err); permanent {
		err = store.MarkPermanent(err)
	}
	return err
}

// longestServerText bounds what is shown of a server's answer.
const longestServerText = 300

// quiet returns the text of err without what a server, or a proxy before it, quotes of
// a command: its arguments are states.
func quiet(err error) string {
	text := err.Error()
	if server := redis.Error(nil); !errors.As(err, &server) {
		return text
	}
	if i := strings.Index(strings.ToLower(text), "args beginning with"); i >= 0 {
		text = strings.TrimRight(text[:i], ", ")
		text = strings.TrimSuffix(text, ", with")
	}
	if len(text) > longestServerText {
		text = strings.ToValidUTF8(text[:longestServerText], "") + "..."
	}
	return text
}

// advice is what to do about an error that passes.
func (s *Store) advice(err error) string {
	switch {
	case hasCode(err, "OOM"):
		return "the server's memory is full and the stored state is unchanged: raise maxmemory or free memory"
	case hasCode(err, "MISCONF"):
		return "the server cannot persist and refuses writes: look at its log and disk"
	case hasCode(err, "READONLY"), errors.Is(err, errReplica):
		return "connect to the primary"
	case isCut(err) && !s.tls:
		return "the server closed the connection; if it expects TLS, use rediss://"
	case isTLS(err), isAlert(err):
		return "check that the server speaks TLS on this port and that its certificate is trusted for this host name"
	}
	return ""
}

// ended joins the end of a context with the reason why nothing worked before.
func ended(ctx context.Context, last error) error {
	if last == nil || errors.Is(last, ctx.Err()) {
		return ctx.Err()
	}
	return fmt.Errorf("%w; before that: %w", ctx.Err(), last)
}
