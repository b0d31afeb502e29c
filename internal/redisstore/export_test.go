package redisstore

// The sources of the scripts that save and claim, and their digests, let tests
// replace them by mutants.
var (
	SaveScriptSource, SaveScriptSHA   = saveScript.source, saveScript.sha
	BatchScriptSource, BatchScriptSHA = batchScript.source, batchScript.sha

	ClaimsScriptSource, ClaimsScriptSHA = claimsScript.source, claimsScript.sha
)

// Waiting returns how many writes wait for a pipeline.
func (s *Store) Waiting() (n int) {
	s.writes.mu.Lock()
	defer s.writes.mu.Unlock()
	for _, b := range s.writes.nodes {
		b.mu.Lock()
		n += len(b.waiting)
		b.mu.Unlock()
	}
	return n
}
