package pgtest

import (
	"os/exec"
	"syscall"
)

// dieWithUs has the kernel end the program when the test process is killed, which ends no test.
func dieWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
