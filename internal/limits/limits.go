// Package limits is the table of what every setting may be, under its name in YAML
// and its name in Go. Each door through which settings come in, the YAML file, the
// options in code and the flags of the command, asks it for all of them and names
// what it refuses as it is named there.
package limits

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/durablestate/durable/internal/store"
)

const (
	year    = 365 * 24 * time.Hour
	decade  = 10 * year // three times as much can still be reckoned with
	century = 100 * year
)

// A Limit is what one setting may be. Zero is its default, where Zero does not say
// otherwise.
type Limit struct {
	Key   string // in YAML
	Field string // in Go; of durable.Options, or of the options of the adapter
	Of    string // the adapter for which it holds, empty for all

	Unit        Unit
	Least, Most int64  // of a number
	Zero        string // what 0 means, where it is a value of its own
	Off         string // what a negative value in Go, and "off" in YAML, means

	Words []string                  // all there are, of a text that is a choice
	Text  func(v string) (m string) // says what a text must be, nothing if it is that
	Must  string                    // the same for the documentation
}

// A Unit is what a setting is measured in.
type Unit int

// The units.
const (
	None Unit = iota // a text
	Number
	Bytes
	Duration
)

// Table has every setting that can be wrong by itself.
var table = []Limit{
	{Key: "adapter", Words: []string{"redis", "file", "memory"}},
	{Key: "redis_url", Field: "url", Text: address, Must: "an address with `redis://`, `rediss://` or `unix://`, known parameters only"},
	{Key: "redis_mode", Words: []string{"standalone", "sentinel", "cluster"}},
	{Key: "key_prefix", Field: "KeyPrefix", Text: prefix, Must: mustPrefix},
	{Key: "durability", Field: "Durability", Text: durability, Must: mustDurability},
	{Key: "directory", Field: "dir", Text: directory, Must: mustDirectory},
	{Key: "spill_directory", Text: directory, Must: mustDirectory},
	{Key: "ttl", Field: "TTL", Unit: Duration, Least: int64(time.Millisecond), Most: int64(century), Zero: "no expiry"},
	{Key: "keep", Field: "Keep", Unit: Number, Least: 1, Most: 100},
	{Key: "max_state_bytes", Field: "MaxStateBytes", Of: "redis", Unit: Bytes, Least: 1, Most: 128 << 20}, // replicas lose their link to values above 256 MB
	{Key: "max_state_bytes", Field: "MaxStateBytes", Unit: Bytes, Least: 1, Most: 1 << 40},
	{Key: "system", Field: "System", Text: part, Must: mustPart},
	{Key: "replica", Field: "Replica", Text: part, Must: mustPart},
	{Key: "holder", Field: "Holder", Text: id, Must: mustID},
	{Key: "snapshot_interval", Field: "Interval", Unit: Duration, Least: int64(time.Millisecond), Most: math.MaxInt64}, // who wants none says for ever
	{Key: "save_timeout", Field: "SaveTimeout", Unit: Duration, Least: int64(time.Millisecond), Most: int64(decade)},
	{Key: "shutdown_timeout", Field: "CloseTimeout", Unit: Duration, Least: int64(time.Millisecond), Most: int64(decade)},
	{Key: "lease_ttl", Field: "LeaseTTL", Unit: Duration, Least: int64(100 * time.Millisecond), Most: int64(decade), Off: "no ownership"},
	{Key: "pause_limit", Field: "PauseLimit", Unit: Duration, Least: int64(time.Millisecond), Most: int64(decade), Off: "never"},
	{Key: "max_crash_restarts", Field: "MaxCrashRestarts", Unit: Number, Least: 1, Most: math.MaxInt32, Zero: "off"},
	{Key: "consistent", Field: "Consistent", Words: []string{"true", "false"}},
	{Key: "restore", Field: "Restore", Words: []string{string(store.FreshIfAbsent), string(store.RestoreRequired), string(store.FreshIfUnreadable)}},
}

// All returns the table.
func All() []Limit { return slices.Clone(table) }

// Of returns the limit of a key for an adapter; of any for an empty one. The key
// must be in the table.
func Of(key, adapter string) *Limit {
	for i := range table {
		if l := &table[i]; l.Key == key && (l.Of == "" || l.Of == adapter) {
			return l
		}
	}
	panic("limits: no setting " + key)
}

// AllowsNumber reports that n, which was set, may be.
func (l *Limit) AllowsNumber(n int64) bool {
	return n == 0 && l.Zero != "" || l.Least <= n && n <= l.Most
}

// Range names the numbers that may be.
func (l *Limit) Range() string {
	show := func(n int64) string { return fmt.Sprint(n) }
	if l.Unit == Duration {
		show = func(n int64) string { return span(time.Duration(n)) }
	}
	text := "from " + show(l.Least) + " to " + show(l.Most)
	if l.Zero != "" {
		text = "0 (" + l.Zero + ") or " + text
	}
	return text
}

func span(d time.Duration) string {
	if d >= year {
		return fmt.Sprintf("%d years", d/year)
	}
	return d.String()
}

// WrongText says what v must be; it is empty if v is that.
func (l *Limit) WrongText(v string) string {
	if l.Text != nil {
		return l.Text(v)
	}
	if !slices.Contains(l.Words, v) {
		return "must be " + l.Choices()
	}
	return ""
}

// Choices names the words that may be.
func (l *Limit) Choices() string {
	last := len(l.Words) - 1
	return strings.Join(l.Words[:last], ", ") + " or " + l.Words[last]
}

// Allowed is what the documentation says of the setting.
func (l *Limit) Allowed() string {
	switch {
	case l.Words != nil:
		return "`" + strings.Join(l.Words, "`, `") + "`"
	case l.Unit == None:
		return l.Must
	case l.Off != "":
		return l.Range() + "; `off`, in code negative: " + l.Off
	}
	return l.Range()
}
