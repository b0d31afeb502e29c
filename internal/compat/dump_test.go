package compat_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A dump of a Redis store is a text file of commands, quoted as redis-cli reads
// them: redis-cli < file restores it.

// dump returns the commands that make every key of the server again.
func dump(t *testing.T, c *redis.Client) []byte {
	keys, err := c.Keys(ctx, "*").Result()
	require.NoError(t, err)
	slices.Sort(keys)
	var b bytes.Buffer
	for _, key := range keys {
		switch kind := c.Type(ctx, key).Val(); kind {
		case "string":
			v, err := c.Get(ctx, key).Result()
			require.NoError(t, err)
			command(&b, "SET", key, v)
		case "hash":
			fields, err := c.HGetAll(ctx, key).Result()
			require.NoError(t, err)
			command(&b, append([]string{"HSET", key}, sorted(fields)...)...)
		default:
			t.Fatalf("a %s at %q: teach dump to write it", kind, key)
		}
		if at := c.PExpireTime(ctx, key).Val(); at > 0 {
			command(&b, "PEXPIREAT", key, strconv.FormatInt(at.Milliseconds(), 10))
		}
	}
	return b.Bytes()
}

func sorted(fields map[string]string) (list []string) {
	for k := range fields {
		list = append(list, k)
	}
	slices.Sort(list)
	for i := 0; i < len(list); i += 2 {
		list = slices.Insert(list, i+1, fields[list[i]])
	}
	return list
}

// command writes one line. Only what redis-cli and Go spell alike is used.
func command(b *bytes.Buffer, args ...string) {
	for i, arg := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte('"')
		for _, c := range []byte(arg) {
			switch {
			case c == '\n':
				b.WriteString(`\n`)
			case c == '"' || c == '\\':
				b.Write([]byte{'\\', c})
			case c < ' ' || c >= 0x7f:
				fmt.Fprintf(b, `\x%02x`, c)
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('"')
	}
	b.WriteByte('\n')
}

// replay restores a dump.
func replay(t *testing.T, c *redis.Client, path string) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		var args []any
		for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimPrefix(rest, " ") {
			quoted, err := strconv.QuotedPrefix(rest)
			require.NoError(t, err)
			arg, err := strconv.Unquote(quoted)
			require.NoError(t, err)
			args, rest = append(args, arg), rest[len(quoted):]
		}
		require.NoError(t, c.Do(ctx, args...).Err())
	}
}
