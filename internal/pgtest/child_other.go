//go:build !linux

package pgtest

import "os/exec"

// dieWithUs is for Linux only.
func dieWithUs(*exec.Cmd) {}
