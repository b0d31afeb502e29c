package lint

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// initialiser matches the functions that the linker keeps of every imported
// package, used or not.
var initialiser = regexp.MustCompile(`\.init(\.\d+)*(\.func\d+)*$|\.map\.init\.\d+$`)

// calledByInitialisers are functions that initialisers of the client call.
var calledByInitialisers = []string{
	goRedis + "/internal/maintnotifications/logs.appendJSONIfDebug", // builds log texts
}

// linkedOfRedis builds the program and returns the functions of the Redis client
// in it, without initialisers and what they call.
func linkedOfRedis(t *testing.T, program string) []string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", exe, "./testdata/"+program)
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	symbols, err := exec.Command("go", "tool", "nm", exe).Output()
	require.NoError(t, err)
	require.Contains(t, string(symbols), " T main.main", "no symbol table")
	var found []string
	for line := range strings.Lines(string(symbols)) {
		if name, ok := redisFunction(line); ok {
			found = append(found, name)
		}
	}
	return found
}

// redisFunction reads one line of go tool nm: address, kind, name.
func redisFunction(line string) (name string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 3 || !strings.EqualFold(f[1], "t") || !strings.HasPrefix(f[2], goRedis) {
		return "", false
	}
	name = strings.Join(f[2:], " ")
	for _, known := range calledByInitialisers {
		if name == known {
			return "", false
		}
	}
	return name, !initialiser.MatchString(name)
}

func TestLink_a_program_with_a_file_adapter_built_in_code_has_no_redis_client(t *testing.T) {
	require.Empty(t, linkedOfRedis(t, "fileonly"))
}

func TestLink_a_program_that_opens_a_configuration_has_it(t *testing.T) {
	require.Contains(t, linkedOfRedis(t, "withredis"), goRedis+".(*Client).Process")
}
