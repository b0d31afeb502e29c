//go:build darwin || windows

package vfs

// CheckDurable returns nil: the usual local file systems keep what was synced.
// Their kind is not looked at.
func CheckDurable(string) error { return nil }
