package redisstore

import (
	"crypto/sha1"
	_ "embed" // the scripts
	"encoding/hex"
	"fmt"
)

// A script is Lua that the server runs as one atomic step.
type script struct{ source, sha string }

func newScript(parts ...string) *script {
	var source string
	for _, p := range parts {
		source += p
	}
	return &script{source, sha1hex([]byte(source))}
}

func sha1hex(b []byte) string {
	sum := sha1.Sum(b)
	return hex.EncodeToString(sum[:])
}

var (
	//go:embed lua/prelude.lua
	preludeLua string
	//go:embed lua/staged.lua
	stagedLua string
	//go:embed lua/save.lua
	saveLua string
	//go:embed lua/batch.lua
	batchLua string
	//go:embed lua/claim.lua
	claimLua string
	//go:embed lua/delete.lua
	deleteLua string
	//go:embed lua/look.lua
	lookLua string
	//go:embed lua/setaside.lua
	setAsideLua string
	//go:embed lua/lease.lua
	leaseLua string

	batchScript    = newScript(batchLua)
	saveScript     = newScript(stagedLua, preludeLua, saveLua)
	claimScript    = newScript(preludeLua, claimLua)
	deleteScript   = newScript(preludeLua, deleteLua)
	lookScript     = newScript(preludeLua, lookLua)
	setAsideScript = newScript(preludeLua, setAsideLua)
	leaseScript    = newScript(leaseLua)
)

// An answer is what a script returned: a code, then strings.
type answer []string

func (a answer) code() string { return a.at(0) }

// at returns the i-th string, empty when the server sent fewer.
func (a answer) at(i int) string {
	if i < len(a) {
		return a[i]
	}
	return ""
}

// parseAnswer also reads the short answers of the batch script: a word, or the
// version that was found when all went well.
func parseAnswer(v any) (answer, error) {
	if word, ok := v.(string); ok && word != "" {
		if word[0] >= '0' && word[0] <= '9' {
			return answer{"OK", "", word}, nil
		}
		return answer{word}, nil
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, fmt.Errorf("the server gave an answer of type %T to a script, which no Redis gives (is a proxy in between?)", v)
	}
	a := make(answer, len(list))
	for i, e := range list {
		if a[i], ok = e.(string); !ok {
			return nil, fmt.Errorf("the server gave a %T in the answer to a script, which no Redis gives (is a proxy in between?)", e)
		}
	}
	return a, nil
}
