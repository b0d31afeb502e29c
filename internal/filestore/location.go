package filestore

import (
	"os"
	"path/filepath"
)

// Location says where the directory is: the name of the host, and the path without
// links. It is empty where the path cannot be resolved.
func (s *Store) Location() string { return s.where }

func locate(path string) string {
	abs, err := filepath.Abs(path)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	host, _ := os.Hostname()
	if err != nil || host == "" {
		return ""
	}
	return "file " + host + " " + abs
}
