package redisstore_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redisstore"
	"github.com/durablestate/durable/internal/redistest"
	"github.com/durablestate/durable/internal/store"
)

func TestErrorsOfBadURLsShowNothingOfThem(t *testing.T) {
	for _, u := range []string{
		"redis://user:s3cr%ZZet@host", "redis://user:s3cr#et@host", "redis://user:s3cr?et@host", "redis://user:s3cr/et@host",
		"redis://user:s3cret@host:port", "redis://user:s3cret@host/db", "redis://user:s3cret@host?s3cret=1", "http://user:s3cret@host",
		"redis:s3cret", "redis://user:s3cret@host?mode=s3cret", "redis://user:s3cret@host?mode=sentinel", "redis://user:s3cret@host?skip_verify=s3cret",
		"redis://user:s3cret@host/3?mode=cluster", "redis://user:s3cret@host?mode=cluster&addr=s3cret", "unix://user:s3cret@", "unix:///sock?mode=cluster",
		"redis://host?sentinel_password=s3cret", "redis://user:s3cret@host?mode=sentinel&master_name=m&replica_only=true",
		"redis://user:s3cret@host?mode=cluster&read_only=true", "redis://h?a=%ZZs3cret",
	} {
		_, err := redisstore.Open(u, redisstore.Options{})
		require.Error(t, err, u)
		require.ErrorContains(t, err, "redis URL", u)
		for _, part := range []string{"s3cr", "et@", "host"} {
			require.NotContains(t, strings.ReplaceAll(err.Error(), "host:port", ""), part, u)
		}
	}
}

func TestURLsOfAllKindsOpenWithoutAServer(t *testing.T) {
	for _, u := range []string{
		"redis://", "redis://user:p%40ss@h:1/3?pool_size=2&dial_timeout=1s", "rediss://h?skip_verify=true", "unix:///tmp/sock?db=2",
		"redis://h:1?mode=sentinel&master_name=m&addr=h2:2&sentinel_username=u&sentinel_password=p", "rediss://?mode=sentinel&master_name=m&addr=h2:2",
		"rediss://h:1?mode=cluster&addr=h2:2", "redis://h?mode=standalone",
	} {
		s, err := redisstore.Open(u, redisstore.Options{})
		require.NoError(t, err, u)
		require.NoError(t, s.Close())
	}
}

func TestThePasswordIsInNoError(t *testing.T) {
	t.Parallel()
	const password = "p@ss/w:rd?#%"
	srv := redistest.Start(t, "--requirepass", password)
	dead := freeAddr(t)
	tlsSrv, _ := startTLS(t, "--requirepass", password)
	for name, u := range map[string]string{
		"wrong":       "redis://:" + url.QueryEscape(password+"x") + "@" + srv.Addr,
		"unreachable": "redis://:" + url.QueryEscape(password) + "@" + dead,
		"tls to port": "rediss://:" + url.QueryEscape(password) + "@" + srv.Addr + "?dial_timeout=100ms",
		"no tls":      "redis://:" + url.QueryEscape(password) + "@" + tlsSrv.Addr,
		"bad cert":    "rediss://:" + url.QueryEscape(password) + "@" + tlsSrv.Addr,
		"sentinel":    "redis://:" + url.QueryEscape(password) + "@" + dead + "?mode=sentinel&master_name=m&sentinel_password=" + url.QueryEscape(password),
		"cluster":     "redis://:" + url.QueryEscape(password) + "@" + dead + "?mode=cluster",
	} {
		s, err := redisstore.Open(u, redisstore.Options{})
		require.NoError(t, err, name)
		for _, err := range []error{s.Save(ctx, "c", snap(1, 1, "a", "statebytes")), second(s.Load(ctx, "c")), listErr(s), s.Close()} {
			if err == nil {
				continue // Close
			}
			for _, secret := range []string{password, url.QueryEscape(password), url.PathEscape(password), "p@ss", "statebytes"} {
				require.NotContains(t, err.Error(), secret, name)
			}
			require.NotErrorIs(t, err, store.ErrNotFound, name)
		}
	}
	ok, err := redisstore.Open("rediss://:"+url.QueryEscape(password)+"@"+tlsSrv.Addr+"?skip_verify=true", redisstore.Options{})
	require.NoError(t, err)
	defer ok.Close()
	mustSave(t, ok, "c", snap(1, 1, "a", "x"))
}

func TestATrustedCertificateSuffices(t *testing.T) {
	srv, roots := startTLS(t)
	c := redis.NewClient(&redis.Options{Addr: srv.Addr, TLSConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	defer c.Close()
	s, err := redisstore.New(c, redisstore.Options{})
	require.NoError(t, err)
	defer s.Close()
	mustSave(t, s, "c", snap(1, 1, "a", "x"))
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func startTLS(t *testing.T, args ...string) (*redistest.Server, *x509.CertPool) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(certFile, certPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certPEM))
	return redistest.Start(t, append([]string{"--port", "0", "--tls-port", "{port}", "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-ca-cert-file", certFile, "--tls-auth-clients", "no"}, args...)...), roots
}

// The line in the documentation of RedisAdapter.
const minimalACL = "resetchannels -@all +ping +select +role +eval +evalsha +get +mget +getrange +setrange +strlen +bitcount +exists +set +mset +rename +del +pexpireat +persist +pttl +hmget +time +scan +wait +waitaof"

func TestTheDocumentedRightsSuffice(t *testing.T) {
	doc, err := os.ReadFile("../../redis.go")
	require.NoError(t, err)
	require.Contains(t, strings.Join(strings.Fields(strings.ReplaceAll(string(doc), "//", "")), " "), minimalACL)

	srv := redistest.Start(t)
	e := newEnv(t, srv.URL(), nil)
	rule := []any{"ACL", "SETUSER", "app", "on", ">pw", "~" + e.prefix + "*", "~{" + e.prefix + "*"}
	for _, f := range strings.Fields(strings.ReplaceAll(minimalACL, "+waitaof", "")) { // 7.0 does not know it
		rule = append(rule, f)
	}
	require.NoError(t, e.client.Do(ctx, rule...).Err())
	u := strings.Replace(srv.URL(), "redis://", "redis://app:pw@", 1)
	s, err := redisstore.Open(u, redisstore.Options{Prefix: e.prefix, TTL: time.Hour})
	require.NoError(t, err)
	defer s.Close()
	warm(t, s)
	e.set(e.key("plain"), `{"a":1}`)
	mustSave(t, s, "plain", snap(1, 1, "a", "x"), snap(1, 2, "b", strings.Repeat("x", 100<<10)), touch(1, 2, "b"))
	e.damage(e.key("plain"))
	mustSave(t, s, "plain", snap(1, 3, "c", "y"))
	mustSave(t, s, "many", snap(1, 1, "a", "x"))
	_ = loaded(t, s, "many") // a small one, as read lately
	require.NotNil(t, s.TakeOver(ctx, []string{"many"}, 2)[0])
	_, err = s.History(ctx, "plain")
	require.NoError(t, err)
	require.NoError(t, listErr(s))
	log, err := e.client.Do(ctx, "ACL", "LOG").Slice()
	require.NoError(t, err)
	require.Empty(t, log, "nothing was denied, not even quietly")
	require.ErrorContains(t, func() error {
		o, err := redisstore.Open(u, redisstore.Options{Prefix: "elsewhere:"})
		require.NoError(t, err)
		defer o.Close()
		return o.Save(ctx, "c", snap(1, 1, "a", "x"))
	}(), "ACL")
}

// pipelines records how many commands travel together.
type pipelines struct{ largest, count atomic.Int64 }

func (p *pipelines) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (p *pipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (p *pipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		p.count.Add(1)
		p.largest.Store(max(p.largest.Load(), int64(len(cmds))))
		return next(ctx, cmds)
	}
}

func TestConcurrentCallsShareAPipelineAndNothingElse(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		var p pipelines
		e.client.AddHook(&p)
		s, err := redisstore.New(e.client, redisstore.Options{Prefix: e.prefix})
		require.NoError(t, err)
		require.NoError(t, e.client.RPush(ctx, e.key("c7"), "another type").Err())
		const n = 300
		for _, op := range []func(id string) error{
			func(id string) error { return s.Save(ctx, id, snap(1, 1, "a", id)) },
			func(id string) error { return second(s.Load(ctx, id)) },
			func(id string) error { return s.Claim(ctx, id, 2) },
		} {
			p.count.Store(0)
			var wg sync.WaitGroup
			errs := make([]error, n)
			for i := range n {
				wg.Go(func() { errs[i] = op(fmt.Sprint("c", i)) })
			}
			wg.Wait()
			for i, err := range errs {
				require.Equal(t, i == 7, err != nil, "%d: %v", i, err)
			}
			require.Less(t, p.count.Load(), int64(n), "pipelines")
		}
		require.Greater(t, p.largest.Load(), int64(5))
		require.NoError(t, s.Close())
		require.NoError(t, e.client.Ping(ctx).Err(), "the caller's client stays open")
		require.ErrorIs(t, s.Save(ctx, "c", snap(1, 1, "a", "x")), store.ErrClosed)
	})
}

func TestNoGoroutineIsLeftAfterClose(t *testing.T) {
	e := onReal(t)
	require.NoError(t, e.client.Ping(ctx).Err())
	s, err := redisstore.Open(e.url, redisstore.Options{Prefix: e.prefix})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() { _ = s.Save(ctx, fmt.Sprint(i), snap(1, 1, "a", strings.Repeat("x", i*2<<10))) })
	}
	require.Eventually(t, func() bool { return goroutines() > 0 }, 10*time.Second, time.Microsecond, "the check can see them")
	wg.Wait()
	require.NoError(t, s.Close())
	require.Eventually(t, func() bool { return goroutines() == 0 }, 10*time.Second, time.Millisecond)
}

// goroutines counts those that the store or its client runs.
func goroutines() (n int) {
	buf := make([]byte, 4<<20)
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "redisstore.(*") || strings.Contains(g, "go-redis/v9") {
			n++
		}
	}
	return n
}

func TestCloseEndsCallsToAFrozenServer(t *testing.T) {
	srv := redistest.Start(t)
	s := newEnv(t, srv.URL(), nil).open(redisstore.Options{})
	mustSave(t, s, "c", snap(1, 1, "a", "x"))
	srv.Stop()
	defer srv.Cont()
	result := make(chan error)
	go func() { result <- s.Save(ctx, "c", snap(1, 2, "b", "y")) }()
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-result, store.ErrClosed)
}

func TestAClusterKeepsEachComponentInOneSlot(t *testing.T) {
	t.Parallel()
	nodes := []*redistest.Server{redistest.Start(t, "--cluster-enabled", "yes"), redistest.Start(t, "--cluster-enabled", "yes")}
	for i, slots := range [][]any{{0, 8191}, {8192, 16383}} {
		require.NoError(t, nodes[i].Client(t).Do(ctx, append([]any{"CLUSTER", "ADDSLOTSRANGE"}, slots...)...).Err())
		require.NoError(t, nodes[i].Client(t).Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
	}
	host, port, _ := net.SplitHostPort(nodes[1].Addr)
	require.NoError(t, nodes[0].Client(t).ClusterMeet(ctx, host, port).Err())
	for _, n := range nodes {
		require.Eventually(t, func() bool {
			info := n.Client(t).ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_assigned:16384")
		}, 30*time.Second, 50*time.Millisecond)
	}
	for _, level := range []string{"memory", "replicated:1"} {
		s, err := redisstore.Open(nodes[0].URL()+"?mode=cluster&addr="+nodes[1].Addr, redisstore.Options{TTL: time.Hour, Durability: level, Prefix: level[:3]})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(ctx, time.Minute) // who waits for replicas in vain holds up others
		defer cancel()
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				id := fmt.Sprintf("x{y}%d", i)
				for v := uint64(1); v <= 3; v++ {
					size := i * 4 << 10
					if level != "memory" {
						size = 1 // large ones wait for their replicas one after the other
					}
					err := s.Save(ctx, id, snap(1, v, "w", strings.Repeat("x", size)))
					if level != "memory" {
						if !isNotDurable(err) {
							t.Errorf("%s: %v", id, err)
						}
						return
					}
					if err != nil {
						t.Errorf("%s: %v", id, err)
					}
				}
				if _, err := s.Load(ctx, id); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			})
		}
		wg.Wait()
		n := 0
		for _, err := range s.List(ctx) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 40, n, "of both nodes")
		if level == "memory" {
			require.NoError(t, s.Delete(ctx, "x{y}7"))
			_, err = s.AcquireLease(ctx, "", "me", time.Minute, 1)
			require.NoError(t, err)
		}
		require.NoError(t, s.Close())
	}
}
