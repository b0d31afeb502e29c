package limits

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/durablestate/durable/internal/store"
)

// A ttl below so many times the longest interval is refused, or warned of.
const (
	RefuseTTLBelow = 3
	WarnTTLBelow   = 10
)

// longestName is that of what the library keeps beside the components of a program.
const longestName = len(store.StartsID)

// Together are the settings that have to go with each other.
type Together struct {
	System, Replica string
	TTL             time.Duration            // 0: no expiry
	Interval        time.Duration            // the default filled in
	Intervals       map[string]time.Duration // of components, 0: that of all
	Consistent      bool
}

// A Problem is what is wrong with a key, which may be one of a component.
type Problem struct{ Component, Key, Text string }

// Problems yields what does not go together. The texts name other settings as the
// door does, which name tells.
func (t Together) Problems(name func(key string) string) iter.Seq[Problem] {
	return func(yield func(Problem) bool) {
		for _, p := range t.problems(name) {
			if !yield(p) {
				return
			}
		}
	}
}

func (t Together) problems(name func(key string) string) (list []Problem) {
	refuse := func(component, key, text string) { list = append(list, Problem{component, key, text}) }
	space := store.Namespace(t.System, t.Replica)
	switch {
	case t.Replica != "" && t.System == "":
		refuse("", "replica", "needs "+name("system")+" beside it")
	case len(space)+longestName > 255:
		refuse("", "system", fmt.Sprintf("and %s take %d of the 255 bytes that an id may have, which leaves no room for ids", name("replica"), len(space)))
	}
	if text := t.ShortTTL(RefuseTTLBelow, name); text != "" {
		refuse("", "ttl", text)
	}
	for _, id := range slices.Sorted(maps.Keys(t.Intervals)) {
		if t.Consistent && t.Intervals[id] != 0 {
			refuse(id, "snapshot_interval", "must not be set for one component together with "+name("consistent")+", which saves all of them at once")
		}
	}
	return list
}

// ShortTTL says that the TTL is below factor times the longest interval; it is
// empty if not.
func (t Together) ShortTTL(factor int64, name func(key string) string) string {
	longest := t.Interval
	for _, d := range t.Intervals {
		longest = max(longest, d)
	}
	if t.TTL == 0 || int64(t.TTL)/factor >= int64(longest) {
		return ""
	}
	return fmt.Sprintf("%s is below %d times the longest %s (%s); raise it, or use 0 to keep state until it is deleted",
		t.TTL, factor, name("snapshot_interval"), longest)
}
