//go:build !linux

package powercut_test

import "testing"

func TestPowerCut_on_real_file_systems(t *testing.T) {
	t.Skip("needs Linux: loop devices and the shutdown ioctl of ext4 and xfs")
}
