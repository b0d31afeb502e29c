package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/config"
)

func TestConfig_lenient_leaves_out_only_what_is_wrong_and_not_needed(t *testing.T) {
	spare := func(key string) bool { return key != "adapter" && key != "directory" && key != "redis_url" }
	for _, c := range []struct {
		text    string
		dropped []string
	}{
		{"state_persistence:\n  adapter: file\n  directory: /d\n  holder: ${UNSET_POD}\n  system: s\n", []string{"holder"}},
		{"other: {a: 1}\n---\nstate_persistence: {adapter: file, directory: /d, system: \"${UNSET_A}\", replica: \"${UNSET_B}\"}\n", []string{"system", "replica"}},
		{"state_persistence:\n  adapter: file\n  directory: /d\n  system: ${UNSET_A}\n  replica: r\n", []string{"system", "replica"}},
		{"state_persistence:\n  adapter: file\n  directory: /d\n  components:\n    a.b: {snapshot_interval: '${UNSET_I}'}\n    c: {restore: sometimes}\n", []string{"components"}},
		{"state_persistence:\n  adapter: file\n  directory: ${UNSET_DIR}\n  holder: ${UNSET_POD}\n", nil},
		{"state_persistence:\n  adapter: file\n  directory: /d\n", nil},
		{"state_persistence: 3\n", nil},
		{"state_persistense: {}\n", nil},
		{"a: [", nil},
	} {
		text, dropped := config.Lenient([]byte(c.text), time.Minute, spare)
		require.Equal(t, c.dropped, dropped, c.text)
		if dropped == nil {
			require.Equal(t, c.text, string(text))
			continue
		}
		b, err := config.ReadBlock(text, time.Minute)
		require.NoError(t, err, "%s", text)
		require.Equal(t, "/d", b.Directory)
	}
}
