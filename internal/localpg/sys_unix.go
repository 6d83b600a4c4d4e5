//go:build unix

package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// command prepares a PostgreSQL program to run as the account. Its environment is fixed, since
// variables such as PGDATA, PGPORT or a translated locale would change what it does.
func (a account) command(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/bin:/bin"}
	cmd.WaitDelay = killedMax
	cmd.Dir = "/" // This process's directory may be closed to the account.
	if a.drop {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)},
		}
	}
	return cmd
}

// claim decides which account PostgreSQL runs as and makes the directory belong to it.
func claim(path string) (account, error) {
	info, err := os.Stat(path)
	if err != nil {
		return account{}, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	owner := account{uid: int(stat.Uid), gid: int(stat.Gid)}
	if self := os.Geteuid(); self != 0 {
		if owner.uid != self {
			return account{}, fmt.Errorf("data directory %s belongs to user id %d, and we are user id %d; run as that user, or choose another directory",
				path, owner.uid, self)
		}
		return owner, nil
	}
	owner.drop = true
	if owner.uid != 0 {
		// An earlier start, or the user that made the directory, has decided.
		return owner, nil
	}
	owner.uid, owner.gid, err = unprivileged()
	if err != nil {
		return account{}, err
	}
	return owner, os.Chown(path, owner.uid, owner.gid)
}

// unprivileged finds the user that stands in for root, as which PostgreSQL refuses to run.
func unprivileged() (uid, gid int, err error) {
	var entry *user.User
	for _, name := range []string{"postgres", "nobody"} {
		if entry, err = user.Lookup(name); err == nil {
			break
		}
	}
	if err != nil {
		return 0, 0, fmt.Errorf("PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody: %w", err)
	}
	if uid, err = strconv.Atoi(entry.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(entry.Gid)
	return uid, gid, err
}

// checkTraversable names the first parent of path that the account cannot enter. Only root needs
// it: other users have just been there themselves.
func checkTraversable(path string, who account) error {
	if !who.drop {
		return nil
	}
	for parent := filepath.Dir(path); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		enter := os.FileMode(0o001)
		switch {
		case int(stat.Uid) == who.uid:
			enter = 0o100
		case int(stat.Gid) == who.gid:
			enter = 0o010
		}
		if info.Mode().Perm()&enter == 0 {
			return fmt.Errorf("PostgreSQL cannot run in %s: as root we start it as user id %d, which cannot enter %s; choose a data directory elsewhere",
				path, who.uid, parent)
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}

// tryLock takes the file's lock unless another process, or another Start in this one, holds it.
func tryLock(file *os.File) (held bool, err error) {
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
