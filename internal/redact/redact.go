// Package redact keeps secrets out of texts: a last net under code that does not
// put them there in the first place.
package redact

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

const mask = "***"

// Secrets knows what must not appear. The zero value knows nothing.
type Secrets struct{ all func() []string } // out of reach as well

// New returns Secrets that know every non-empty word, also as a URL would spell it.
func New(words ...string) Secrets {
	var all []string
	for _, w := range words {
		for _, form := range []string{w, url.QueryEscape(w), url.PathEscape(w), url.UserPassword("", w).String()[1:]} {
			if w != "" && !slices.Contains(all, form) {
				all = append(all, form)
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // a part must not spoil the whole
	return Secrets{func() []string { return all }}
}

// Text returns t with every secret masked.
func (s Secrets) Text(t string) string {
	if s.all == nil {
		return t
	}
	for _, w := range s.all() {
		t = strings.ReplaceAll(t, w, mask)
	}
	return t
}

// Error returns err itself when its text holds no secret. Otherwise it returns an
// error with the masked text that still answers errors.Is as err does, but leads
// to no error that would print the secret.
func (s Secrets) Error(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if clean := s.Text(text); clean != text {
		return &masked{clean, func() error { return err }}
	}
	return err
}

type masked struct {
	text string
	err  func() error // out of the reach of whatever prints or dumps an error
}

func (m *masked) Error() string        { return m.text }
func (m *masked) Is(target error) bool { return errors.Is(m.err(), target) }
