//go:build !linux

package redisd

import "os/exec"

func startGuarded(cmd *exec.Cmd) error { return cmd.Start() }
