package envelope

import (
	"crypto/sha256"
	"encoding/hex"
	"unicode/utf8"
)

// JoinID returns prefix and name as one id. Of a name that is too long for that it
// has the beginning, which tells the system, and a digest of all of it. The prefix
// is short.
func JoinID(prefix, name string) string {
	if ValidID(prefix + name) {
		return prefix + name
	}
	sum := sha256.Sum256([]byte(name))
	digest := "~" + hex.EncodeToString(sum[:16])
	end := min(len(name), maxIDLen-len(prefix)-len(digest))
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return prefix + name[:end] + digest
}
