package filestore

import (
	"slices"
	"strings"
	"time"
)

// maxListings bounds how often the directory is listed again because commits
// vanished meanwhile, which they do not while the writers' lock is held.
const maxListings = 8

// list returns the names in the directory, those of commits after last as they
// were at one moment. A listing of many names is not made in one: a commit that
// is published meanwhile may be missing although a later one is there. So there
// is a second listing, of which only those count that the first could know of,
// unless no number is missing or the directory has not changed since mod.
func (s *Store) list(last uint64, mod time.Time) (names, error) {
	first, err := s.listOnce()
	for try := 0; err == nil && try < maxListings; try++ {
		if first.contiguous(last) || try == 0 && s.unchangedSince(mod) {
			break
		}
		var all names
		if all, err = s.listOnce(); err != nil {
			break
		}
		second := all.upTo(first.newest())
		if second.has(first.commits, last) || try == maxListings-1 {
			return second, nil
		}
		first = all
	}
	return first, err
}

func (s *Store) listOnce() (names, error) {
	list, err := s.dir.List()
	return sortNames(list), err
}

// contiguous reports that no number after last is missing.
func (n *names) contiguous(last uint64) bool {
	for _, seq := range n.commits {
		if seq > last+1 {
			return false
		}
		last = max(last, seq)
	}
	return n.quarantined <= last
}

// newest returns the greatest number that was ever used, as far as n shows.
func (n *names) newest() uint64 {
	if len(n.commits) == 0 {
		return n.quarantined
	}
	return max(n.quarantined, n.commits[len(n.commits)-1])
}

// upTo returns n without what is newer than last.
func (n names) upTo(last uint64) names {
	i, found := slices.BinarySearch(n.commits, last)
	if found {
		i++
	}
	n.commits, n.quarantined = n.commits[:i], min(n.quarantined, last)
	return n
}

// has reports whether n has those of commits that are after last.
func (n *names) has(commits []uint64, last uint64) bool {
	i := 0
	for _, seq := range commits {
		for i < len(n.commits) && n.commits[i] < seq {
			i++
		}
		if seq > last && (i == len(n.commits) || n.commits[i] != seq) {
			return false
		}
	}
	return true
}

// names is a listing in order.
type names struct {
	commits     []uint64 // ascending
	quarantined uint64   // highest number set aside
	stray       []string // temporaries and lock files of leases
	format      bool
}

func sortNames(list []string) names {
	var n names
	for _, name := range list {
		if seq, ok := parseCommitName(name); ok {
			n.commits = append(n.commits, seq)
		} else if rest, ok := strings.CutPrefix(name, quarantinePrefix); ok {
			seq, _ := parseCommitName(rest)
			n.quarantined = max(n.quarantined, seq)
		} else if strings.HasPrefix(name, tempPrefix) || strings.HasPrefix(name, leasePrefix) {
			n.stray = append(n.stray, name)
		} else if name == formatName {
			n.format = true
		}
	}
	slices.Sort(n.commits)
	return n
}
