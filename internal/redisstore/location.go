package redisstore

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Location says where the keys of this store are, without user and password: the
// same for all who open it. It is empty for a client that does not tell.
func (s *Store) Location() string {
	if s.where != "" {
		return s.where + " " + s.prefix
	}
	var addrs []string
	db := 0
	switch c := s.client.(type) {
	case *redis.Client:
		o := c.Options()
		if o.Addr == "FailoverClient" { // which sentinels it asks it does not tell
			return ""
		}
		addrs, db = []string{o.Addr}, o.DB
	case *redis.ClusterClient:
		addrs = c.Options().Addrs
	default:
		return ""
	}
	return place(addrs) + fmt.Sprintf("/%d %s", db, s.prefix)
}

// place names servers, with the name of this host where they are its own.
func place(addrs []string) string {
	named := make([]string, len(addrs))
	for i, addr := range addrs {
		named[i] = addr
		if isLocal(addr) {
			host, _ := os.Hostname()
			named[i] = host + "=" + addr
		}
	}
	slices.Sort(named)
	return "redis " + strings.Join(named, ",")
}

func isLocal(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil { // a socket
		return true
	}
	ip := net.ParseIP(host)
	return host == "" || host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
}
