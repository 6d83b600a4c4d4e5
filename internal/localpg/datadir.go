package localpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The names of the files in a data directory; the package comment explains them.
const (
	lockName     = "localpg.lock"
	passwordName = "password"
	portName     = "port"
	logName      = "postgres.log"
	clusterName  = "pgdata"
	initPrefix   = "init-"
)

// formerMax bounds the wait for a postmaster whose owner died: it may have a checkpoint to write.
const formerMax = 60 * time.Second

// pollInterval is the interval of checks of a file or a process.
const pollInterval = 5 * time.Millisecond

// account is the operating-system user that PostgreSQL runs as.
type account struct {
	uid, gid int
	drop     bool // This process is root and becomes this user; otherwise it is this user.
}

// dataDir is an owned data directory: its lock is held until close.
type dataDir struct {
	path     string   // Absolute and free of symbolic links.
	root     *os.Root // Follows no link out of the directory.
	lock     *os.File
	owner    account
	password string // the superuser's
	tcp      bool   // The server listens on TCP.
}

// requireCluster fails when there is no cluster in the directory. It creates nothing.
func requireCluster(path string) error {
	_, err := os.Stat(filepath.Join(path, clusterName))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w in the data directory %q", ErrNoCluster, path)
	}
	return err
}

// openDataDir creates the directory if need be, checks that it can be used, gives it to the
// user PostgreSQL will run as, and takes its lock.
func openDataDir(path string) (_ *dataDir, err error) {
	if path == "" {
		return nil, errors.New("no data directory given")
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create the parents of the data directory: %w", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create the data directory: %w", err)
	}
	// A postmaster reports its directory without links, so the comparison is without links too.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}
	if err := refuseForeign(path); err != nil {
		return nil, err
	}
	d := &dataDir{path: path}
	if d.owner, err = claim(path); err != nil {
		return nil, err
	}
	if err := checkTraversable(path, d.owner); err != nil {
		return nil, err
	}
	if d.root, err = os.OpenRoot(path); err != nil {
		return nil, err
	}
	if err := d.takeLock(); err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	return d, nil
}

// refuseForeign fails for a directory that holds files but no cluster of this package. As root it
// would be given to another user, and a mistyped path must not do that to a home directory.
func refuseForeign(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("read the data directory: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() == lockName || entry.Name() == clusterName {
			return nil
		}
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty (it holds %q) and was not made by this program; choose another data directory",
			path, entries[0].Name())
	}
	return nil
}

// takeLock makes this process the owner, or names the process that is.
func (d *dataDir) takeLock() error {
	file, err := d.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the lock of the data directory: %w", err)
	}
	held, err := tryLock(file)
	if err == nil && held {
		// The flock decides which process owns it; the process id in it is only for the error
		// below.
		if err = file.Truncate(0); err == nil {
			_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lock the data directory: %w", err), file.Close())
	}
	if held {
		d.lock = file
		return nil
	}
	text, _ := d.root.ReadFile(lockName)
	pid := strings.TrimSpace(string(text))
	return errors.Join(fmt.Errorf("data directory %s is in use by process %s; stop that process, or choose another directory",
		d.path, pid), file.Close())
}

// close releases the lock. Closing is what releases a flock, so errors have no remedy.
func (d *dataDir) close() {
	_ = d.lock.Close()
	_ = d.root.Close()
}

// cluster returns the path of PostgreSQL's own data directory.
func (d *dataDir) cluster() string { return filepath.Join(d.path, clusterName) }

// clusterMajor returns the major version that made the cluster, or 0 when there is no cluster yet.
func (d *dataDir) clusterMajor() (int, error) {
	if _, err := d.root.Stat(clusterName); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	text, err := d.root.ReadFile(filepath.Join(clusterName, "PG_VERSION"))
	if err != nil {
		return 0, fmt.Errorf("%s is not a PostgreSQL cluster; nothing was changed: %w", d.cluster(), err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || major <= 0 {
		return 0, fmt.Errorf("%s was made by PostgreSQL %q, which this program cannot run; nothing was changed",
			d.cluster(), strings.TrimSpace(string(text)))
	}
	return major, nil
}

// initCluster makes the cluster. initdb works in a directory of another name that is renamed at the
// end, so that an interrupted initdb leaves nothing that looks like a cluster.
func (d *dataDir) initCluster(ctx context.Context, bin binaries) error {
	if err := d.makePassword(); err != nil {
		return fmt.Errorf("make the password file: %w", err)
	}
	staging := initPrefix + rand.Text()
	cmd := d.owner.command(ctx, filepath.Join(bin.dir, "initdb"),
		"--pgdata="+filepath.Join(d.path, staging),
		"--username="+Superuser,
		"--pwfile="+filepath.Join(d.path, passwordName),
		"--auth=scram-sha-256",
		"--encoding=UTF8",
		// The C locale orders text the same on every machine and does not change with the C
		// library.
		"--locale=C",
		// Checksums turn silent damage of the disk into an error; PostgreSQL 18 has them by
		// default.
		"--data-checksums",
	)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, lastLines(output))
	}
	if err := d.root.Rename(staging, clusterName); err != nil {
		return err
	}
	// initdb has synced the files; the rename needs a sync of its own.
	directory, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// removeLeftovers deletes what an interrupted initdb left. It holds no data, since it never was
// a cluster. Failing to delete it blocks nothing: the next attempt has a name of its own.
func (d *dataDir) removeLeftovers() {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), initPrefix) {
			_ = d.root.RemoveAll(entry.Name())
		}
	}
}

// makePassword writes the password file. It does so before initdb, and so for every cluster there
// is a password, even if this process dies between the two.
func (d *dataDir) makePassword() error {
	temporary := initPrefix + passwordName
	file, err := d.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(rand.Text() + "\n")
	if err == nil && d.owner.drop {
		err = file.Chown(d.owner.uid, d.owner.gid)
	}
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return d.root.Rename(temporary, passwordName)
}

// readPassword reads the password that the cluster was made with.
func (d *dataDir) readPassword() error {
	text, err := d.root.ReadFile(passwordName)
	if err != nil {
		return fmt.Errorf("the cluster in %s cannot be used without its password file: %w", d.path, err)
	}
	d.password = strings.TrimSpace(string(text))
	return nil
}

// choosePort returns the TCP port of the last start when it is free, so that addresses survive a
// restart, and else any free port. Another process may still take it first: launch tries again.
func (d *dataDir) choosePort() (int, error) {
	if !d.tcp {
		return socketPort, nil
	}
	if text, err := d.root.ReadFile(portName); err == nil {
		port, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil && port > 0 {
			if port, err = freePort(port); err == nil {
				return port, nil
			}
		}
	}
	return freePort(0)
}

// rememberPort keeps the port for the next choosePort. A failure is no loss.
func (d *dataDir) rememberPort(port int) {
	if !d.tcp {
		return
	}
	_ = d.root.WriteFile(portName, []byte(strconv.Itoa(port)+"\n"), 0o600)
}

// freePort checks a TCP port of the loopback address; 0 stands for any.
func freePort(port int) (int, error) {
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, err
	}
	port = listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}

// postmasterFile reads a postmaster's own file: its process id, and whether it is ready for
// connections, if only for reading as a standby is. The id is 0 when there is no such file or
// nothing legible in it.
func (d *dataDir) postmasterFile() (pid int, ready bool) {
	text, err := d.root.ReadFile(filepath.Join(clusterName, "postmaster.pid"))
	if err != nil {
		return 0, false
	}
	const statusLine = 7 // The eighth line, as pg_ctl reads it.
	lines := strings.Split(string(text), "\n")
	// A minus marks a server in single-user mode.
	pid, err = strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(lines[0]), "-"))
	if err != nil {
		return 0, false
	}
	if len(lines) <= statusLine {
		return pid, false
	}
	status := strings.TrimSpace(lines[statusLine])
	return pid, status == "ready" || status == "standby"
}

// awaitFormerPostmaster waits until a postmaster that an earlier owner left behind has gone. This
// process holds the lock, so that owner is dead, and the postmaster is on its way out: the kernel
// has stopped it, or this function does.
func (d *dataDir) awaitFormerPostmaster(ctx context.Context, log *slog.Logger) error {
	pid, _ := d.postmasterFile()
	if pid == 0 || !runsOn(pid, d.cluster()) {
		return d.removeStaleFiles()
	}
	log.WarnContext(ctx, "waiting for the PostgreSQL of an earlier process to stop", "pid", pid, "dir", d.path)
	if err := stopOrphan(pid); err != nil {
		return fmt.Errorf("stop the PostgreSQL left behind (pid %d): %w", pid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, formerMax)
	defer cancel()
	err := poll(ctx, func() bool { return !runsOn(pid, d.cluster()) })
	if err != nil {
		return fmt.Errorf("data directory %s is in use by a PostgreSQL (pid %d) that does not stop: %w", d.path, pid, err)
	}
	return d.removeStaleFiles()
}

// removeStaleFiles deletes the files by which a dead postmaster keeps others out. PostgreSQL
// refuses such a file when it is empty. It also takes any process of its user that has got the same
// id since for a postmaster, which in a container is likely. Without the files it still refuses
// while a backend of the dead postmaster holds the cluster's shared memory.
func (d *dataDir) removeStaleFiles() error {
	stale, err := fs.Glob(d.root.FS(), ".s.PGSQL.*")
	if err != nil {
		return err
	}
	for _, name := range append(stale, filepath.Join(clusterName, "postmaster.pid")) {
		if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a stale file: %w", err)
		}
	}
	return nil
}

// poll calls done until it is true or ctx ends, whose error it then returns.
func poll(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}
