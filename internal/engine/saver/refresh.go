package saver

import "time"

const (
	// fewComponents are refreshed with every checkpoint, so that a copy that
	// vanished is soon written again. More would be a load of its own.
	fewComponents = 1000
	// mostUnrefreshed bounds for how long a stored copy goes unseen that nothing
	// says to be in danger.
	mostUnrefreshed = 15 * time.Minute
)

// unrefreshed is for how long a stored copy needs no refresh; 0: it is to be
// refreshed with every checkpoint.
func (sys *System) unrefreshed() time.Duration {
	if sys.Custodian == nil || sys.Count() <= fewComponents {
		return 0
	}
	if ttl := sys.Custodian.Lifetime(); ttl > 0 {
		return min(ttl/4, mostUnrefreshed)
	}
	return mostUnrefreshed
}

// fine reports that the stored copy is as it should be, without asking the store:
// nothing changed since it was seen there a while ago, the lease is being renewed,
// so the store can be reached and nobody took over, and nothing was seen to be
// lost. The caller holds s.mu.
func (s *Saver) fine(now time.Time) bool {
	m := s.subject.Mark()
	return m.Exact && m.Changes == s.copy.changes && s.copy.attempt != (writeID{}) && !s.copy.belowLevel && s.err() == nil &&
		s.sys.since(s.seen, now) < s.sys.unrefreshed() && s.copy.losses == s.sys.lost() && s.sys.Ownership.Renewed(now)
}

// changed reports that the subject has a state that is not stored, as far as can
// be told without asking it. The caller holds s.mu.
func (s *Saver) changed() bool {
	m := s.subject.Mark()
	switch {
	case s.copy.belowLevel:
		return true
	case !s.copy.exists && !m.Fresh: // nothing stored, and something to store
		return true
	case m.Changes > s.copy.changes:
		return true
	}
	return !m.Exact && s.extras != nil && s.extras.unsaved // the last attempt found what the count does not tell
}
