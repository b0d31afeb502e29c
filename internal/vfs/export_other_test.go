//go:build !unix

package vfs

// Publishers returns every way in which this platform may publish.
func Publishers(d Dir) map[string]func(oldname, newname string) error {
	return map[string]func(string, string) error{"preferred": d.Publish}
}
