package redact_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/redact"
)

func TestSecretsAreMaskedInEverySpelling(t *testing.T) {
	s := redact.New("p@ss w/rd", "p@ss", "")
	for in, want := range map[string]string{
		"nothing here":             "nothing here",
		"auth p@ss w/rd failed":    "auth *** failed",
		"redis://:p%40ss@h":        "redis://:***@h",
		"q=p%40ss+w%2Frd&x":        "q=***&x",
		"redis://:p%40ss%20w%2Frd": "redis://:***",
	} {
		require.Equal(t, want, s.Text(in))
	}
	require.Equal(t, "as it is", redact.Secrets{}.Text("as it is"))
}

func TestAMaskedErrorLeadsToNoSecret(t *testing.T) {
	s := redact.New("hunter2")
	cause := errors.New("cause")
	clean := fmt.Errorf("nothing to hide: %w", cause)
	require.Same(t, clean, s.Error(clean))
	require.NoError(t, s.Error(nil))
	err := s.Error(fmt.Errorf("login hunter2: %w", cause))
	require.EqualError(t, err, "login ***: cause")
	require.ErrorIs(t, err, cause)
	require.Nil(t, errors.Unwrap(err))
}
