//go:build unix && !linux

package localpg

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// detach puts the process into a group of its own, so that a Ctrl-C in the terminal reaches only
// this process, which can drain first. Nothing here stops it when this process dies: the next Start
// does.
func detach(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// runsOn reports whether the process is a postmaster on this cluster, by its command line.
func runsOn(pid int, cluster string) bool {
	output, err := exec.Command("ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(output), "-D "+cluster+" ")
}

// stopOrphan signals a postmaster whose owner died to shut down.
func stopOrphan(pid int) error {
	err := syscall.Kill(pid, syscall.SIGINT)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}
