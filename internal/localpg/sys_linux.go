package localpg

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// detach puts the process into a group of its own, so that a Ctrl-C in the terminal reaches only
// this process, which can drain first. It also has the kernel stop it when this process dies.
func detach(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
}

// runsOn reports whether the process is a PostgreSQL on this cluster. A postmaster and its backends
// work in the cluster's directory, and no other process has a reason to.
func runsOn(pid int, cluster string) bool {
	ours, err := os.Stat(cluster)
	if err != nil {
		return false
	}
	theirs, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/cwd")
	return err == nil && os.SameFile(ours, theirs)
}

// stopOrphan has nothing to do: the kernel stopped the postmaster when its owner died. One that was
// started by hand is left running.
func stopOrphan(int) error { return nil }
