package rows

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// bareSaves are the commands of this library's saves, of as many components in
// one call, in a script that decides nothing and builds nothing: what is left of
// a save when deciding costs nothing. It is no way to save anything.
type bareSaves struct {
	*redisBench
	keys, fences []string
	values       [][]byte
	version      int
}

const redisLimit = "limit: the same commands in a script that decides nothing"

// bareCall is how many components share one call.
const bareCall = 64

var bareScript = redis.NewScript(`
local n = #KEYS / 2
redis.call('MGET', unpack(KEYS, n + 1))
local fences, gone = {}, {}
for i = 1, n do
  local a = 4 * i
  fences[2 * i - 1], fences[2 * i] = KEYS[n + i], ARGV[a]
  gone[i] = ARGV[a + 2]
end
redis.call('MSET', unpack(fences))
for i = 1, n do
  local a, key = 4 * i, KEYS[i]
  redis.call('BITCOUNT', key, '0', '65535')
  redis.call('GETRANGE', key, '11', '74')
  redis.pcall('RENAME', key, ARGV[a + 1]) -- the first time there is none
  redis.call('PEXPIREAT', ARGV[a + 1], ARGV[2])
  redis.call('SET', key, ARGV[a + 3], 'PXAT', ARGV[1])
end
redis.call('DEL', unpack(gone))
return n`)

func newBareSaves(r *redisBench, system string, n, size int) *bareSaves {
	s := &bareSaves{redisBench: r}
	for i := range n {
		key := "autocoder:state:" + system + "/" + componentID(i)
		s.keys, s.fences = append(s.keys, key), append(s.fences, "{"+key+"}:f")
		s.values = append(s.values, value(size, i))
	}
	return s
}

func (s *bareSaves) change(_, _ int) error {
	s.version++
	for _, v := range s.values {
		bump(v)
	}
	return nil
}

// cycle saves all, with two calls on their way at a time.
func (s *bareSaves) cycle() error {
	var errs [2]error
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for from := i * bareCall; from < len(s.keys) && errs[i] == nil; from += len(errs) * bareCall {
				errs[i] = s.call(from, min(from+bareCall, len(s.keys)))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

func (s *bareSaves) call(from, to int) error {
	now := time.Now()
	line := fmt.Sprintf("FENCE %0312d", s.version)
	keys := append(append(make([]string, 0, 2*(to-from)), s.keys[from:to]...), s.fences[from:to]...)
	args := append(make([]any, 0, 3+4*(to-from)), now.Add(ttl).UnixMilli(), now.Add(2*ttl).UnixMilli(), "")
	for i := from; i < to; i++ {
		side := strings.TrimSuffix(s.fences[i], "f") + "g:"
		args = append(args, line, side+strconv.Itoa(s.version-1), side+strconv.Itoa(s.version-3), s.values[i])
	}
	return bareScript.Run(s.ctx, s.client, keys, args...).Err()
}
