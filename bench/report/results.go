package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Keep stores the report in the file path, together with what an earlier run left
// there about other groups, which it takes over.
func (r *Report) Keep(path string) error {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var old Report
	if err == nil {
		if err := json.Unmarshal(data, &old); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	r.take(&old)
	if data, err = json.MarshalIndent(r, "", "\t"); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// take adds the groups of old that r does not have.
func (r *Report) take(old *Report) {
	has := map[int]bool{}
	for _, s := range r.Sections {
		has[s.Group] = true
	}
	for _, s := range old.Sections {
		if !has[s.Group] {
			r.Sections = append(r.Sections, s)
		}
	}
	for _, c := range old.Claims {
		if !has[c.Group] {
			r.Claims = append(r.Claims, c)
		}
	}
	slices.SortStableFunc(r.Sections, func(a, b Section) int { return a.Group - b.Group })
}
