package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
	"github.com/durablestate/durable/cmd/durable/internal/ui"
	"github.com/durablestate/durable/internal/store"
)

// versions names the versions of what looks and what it reads.
func versions(*opened) []finding {
	b := buildInfo()
	return []finding{{"versions", "info", "tool", fmt.Sprintf("durable %s, %s, envelope format %d", b.Version, b.Go, b.Envelope), ""}}
}

// settingsFindings judges the configuration by itself.
func settingsFindings(o *opened) []finding {
	ttl, err := time.ParseDuration(o.set.TTL)
	if o.set.Adapter != "redis" || err != nil || ttl == 0 {
		return nil
	}
	longest := longestInterval(&o.cfg.Options)
	evidence := fmt.Sprintf("ttl %s, longest snapshot_interval %s", ttl, longest)
	if ttl < 10*longest {
		return []finding{{"ttl-interval", "warning", "config", evidence, "raise ttl above the longest outage to survive, at least 10 times the interval"}}
	}
	return []finding{{"ttl-interval", "info", "config", evidence, ""}}
}

func longestInterval(o *durable.Options) time.Duration {
	longest := max(o.Interval, 0)
	if longest == 0 {
		longest = time.Minute
	}
	for _, c := range o.Components {
		longest = max(longest, c.Interval)
	}
	return longest
}

// disk looks at the file system of a directory.
func disk(dir string, durability error) []finding {
	var found []finding
	if durability != nil {
		found = append(found, finding{"file-system", "error", "disk", durability.Error(), "put the directory on a local file system such as ext4, xfs or btrfs"})
	} else {
		found = append(found, finding{"file-system", "info", "disk", "the file system keeps what was synced, as far as its kind tells", ""})
	}
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		found = append(found, finding{"permissions", "warning", "disk", fmt.Sprintf("the directory has mode %v", info.Mode().Perm()), "chmod 700: state may be private, and others must not write"})
	}
	free, total, err := freeSpace(dir)
	if err != nil {
		return append(found, finding{"free-space", "unknown", "disk", err.Error(), ""})
	}
	used := storeSize(dir)
	f := finding{"free-space", "info", "disk", fmt.Sprintf("%s of %s free, the store has %s", ui.Size(free), ui.Size(total), ui.Size(used)), ""}
	if free < total/20 || free < 2*used {
		f.Severity, f.Remedy = "warning", "make room: a full disk refuses saves (what is stored stays)"
	}
	if free < 1<<20 {
		f.Severity = "error"
	}
	return append(found, f)
}

func storeSize(dir string) (n int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

// contents looks at components, leases and clocks.
func (a *app) contents(ctx context.Context, o *opened) []finding {
	var found []finding
	rows, err := a.list(ctx, o, true)
	if err != nil {
		found = append(found, finding{"list", "error", "store", err.Error(), "what cannot be listed cannot be restored; durable verify, then the runbook"})
	}
	now, aside, damaged := time.Now(), 0, 0
	var ahead time.Duration
	for _, r := range rows {
		ahead = max(ahead, r.SavedAt.Sub(now))
		if survey.Internal(r.ID) {
			switch {
			case path.Base(r.ID) == store.StartsID:
				found = append(found, starts(ctx, o, r.ID)...)
			case strings.HasPrefix(r.ID, store.AsidePrefix):
				aside++
			case strings.HasPrefix(r.ID, store.DamagedPrefix):
				damaged++
			}
			continue
		}
		found = append(found, component(o, r)...)
		found = append(found, superseded(r)...)
	}
	if aside > 0 {
		found = append(found, finding{"set-aside", "info", "store", ui.Count(aside, "state was", "states were") + " set aside because nobody could use them", "durable ls --all lists them, rollback brings one back; delete what nobody needs"})
	}
	if damaged > 0 {
		found = append(found, finding{"damaged", "warning", "store", ui.Count(damaged, "value", "values") + " that did not verify are set aside", "find out what damages them: disk, memory, another writer; durable ls --all lists them, durable delete ~damaged/... removes one"})
	}
	if ahead > 2*time.Second {
		found = append(found, finding{"clock", "warning", "clock", fmt.Sprintf("a state was saved %s in the future by this machine's clock", ui.Age(ahead)), "keep clocks by NTP: ages and TTLs are judged by them"})
	} else if err == nil {
		found = append(found, finding{"clock", "info", "clock", "no state comes from the future", ""})
	}
	found = append(found, spill(ctx, o)...)
	return append(found, a.leases(ctx, o, rows, now)...)
}

// component judges a line of ls.
func component(o *opened, r listed) []finding {
	interval := max(o.cfg.Options.Interval, 0)
	if interval == 0 {
		interval = time.Minute
	}
	if c, ok := o.cfg.Options.Components[strings.TrimPrefix(r.ID, o.Namespace)]; ok && c.Interval > 0 {
		interval = c.Interval
	}
	switch {
	case r.Verdict == survey.Missing: // superseded says it
		return nil
	case r.Verdict == survey.Unverified:
		return []finding{{"unverified", "info", r.ID, "a plain value without checksums", "the next save of its program gives it some"}}
	case r.Verdict == survey.Expired:
		return []finding{{"expired", "warning", r.ID, r.Detail, "raise ttl above the longest outage; the state is gone"}}
	case !r.Verdict.Sound():
		return []finding{{string(r.Verdict), "error", r.ID, r.Detail, "durable history, then durable rollback to a version that verifies"}}
	case r.Owner != "-" && r.Owner != "?" && r.Age > (100*interval).Seconds():
		// An unchanged state is not written again, so age alone proves nothing.
		return []finding{{"old", "info", r.ID, fmt.Sprintf("saved %s ago under a running owner", ui.Age(time.Duration(r.Age*float64(time.Second)))), "in order if nothing has changed since; its health endpoint knows"}}
	}
	return nil
}

// superseded tells of states that a restart does not take, because there are newer
// ones of the same components in another place.
func superseded(r listed) []finding {
	switch {
	case r.Verdict == survey.Missing && r.In != "":
		return []finding{{"superseded", "warning", r.ID, r.Detail, "durable rollback brings it back, durable delete removes it"}}
	case r.Verdict == survey.Removed:
		return []finding{{"superseded", "info", r.ID, r.Detail, "durable delete removes what is left of it"}}
	case r.Own > 0:
		return []finding{{"superseded", "info", r.ID, fmt.Sprintf("its own version %d is older than version %d in %s", r.Own, r.Version, r.In), "durable delete --own removes it when nobody needs it"}}
	case len(r.Older) > 0:
		return []finding{{"superseded", "info", r.ID, "the set is " + place(r), "durable delete removes it when nobody needs it"}}
	}
	return nil
}

// starts looks at the count of starts that came to no good end.
func starts(ctx context.Context, o *opened, id string) []finding {
	snap, err := o.LoadState(ctx, id)
	var n struct{ Starts int }
	if err != nil || json.Unmarshal(snap.Data, &n) != nil || n.Starts < 2 {
		return nil
	}
	return []finding{{"crash-restarts", "warning", id, fmt.Sprintf("%d starts in a row came to no good end", n.Starts), "look at the program's log; roll back what brings it down, then delete this count"}}
}

func (a *app) leases(ctx context.Context, o *opened, rows []listed, now time.Time) []finding {
	var found []finding
	owners, seen := o.Owners(), map[string]bool{}
	for _, r := range rows {
		name, w := survey.LeaseOf(r.ID), owners.Of(ctx, r.ID)
		if seen[name] {
			continue
		}
		seen[name] = true
		f := finding{"lease", "info", name, w.String(), ""}
		switch {
		case w.State(now) == "expired", w.State(now) == "holder gone":
			f.Severity, f.Remedy = "warning", "no process owns these components: start one, or find out what ended the last one"
		case w.Err != nil:
			f.Severity = "unknown"
		case w.Live(now) && w.Lease.Expires.Sub(now) > w.Lease.TTL+2*time.Second:
			f.ID, f.Severity = "clock", "warning"
			f.Evidence = fmt.Sprintf("the lease ends in %s although its TTL is %s", ui.Age(w.Lease.Expires.Sub(now)), w.Lease.TTL)
			f.Remedy = "the store's clock is ahead of this machine's: keep clocks by NTP"
		}
		found = append(found, f)
	}
	return found
}
