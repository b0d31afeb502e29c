//go:build unix && !linux

package vfs

func (d *osDir) publish(oldname, newname string) error { return d.publishByLink(oldname, newname) }
