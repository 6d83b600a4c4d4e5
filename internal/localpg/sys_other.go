//go:build !unix

package localpg

import (
	"context"
	"errors"
	"os"
	"os/exec"
)

// errUnsupported is the error of every start where there are no Unix processes and locks.
var errUnsupported = errors.New("a private PostgreSQL needs Linux, macOS or another Unix; set DATABASE_URL instead")

func (a account) command(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	return exec.CommandContext(ctx, program, arguments...)
}

func claim(string) (account, error)           { return account{}, errUnsupported }
func unprivileged() (uid, gid int, err error) { return 0, 0, errUnsupported }
func checkTraversable(string, account) error  { return errUnsupported }
func tryLock(*os.File) (held bool, err error) { return false, errUnsupported }
func detach(*exec.Cmd)                        {}
func runsOn(pid int, cluster string) bool     { return false }
func stopOrphan(int) error                    { return errUnsupported }
