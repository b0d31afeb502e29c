//go:build unix

package vfs

// Publishers returns every way in which this platform may publish.
func Publishers(d Dir) map[string]func(oldname, newname string) error {
	o := d.(*osDir)
	return map[string]func(string, string) error{"preferred": o.Publish, "link": o.publishByLink}
}
