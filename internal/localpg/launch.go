package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// startMax bounds one start. Replaying all of max_wal_size after a crash takes well under it.
	startMax = 5 * time.Minute

	// retryMax bounds how long a start is tried again while the last server's backends are on their
	// way out, or while other processes take its ports.
	retryMax = 30 * time.Second

	// retryInterval is the pause between two such tries.
	retryInterval = 50 * time.Millisecond

	// giveUpMax is how long a postmaster has to stop after a failed start, before it is killed.
	giveUpMax = 10 * time.Second

	// logBytesMax is the size at which the log is put aside at a start; one old log is kept.
	logBytesMax = 8 << 20

	// tailLinesMax and tailBytesMax bound the log's part in an error.
	tailLinesMax = 15
	tailBytesMax = 8 << 10
)

// defaultSettings is what differs from PostgreSQL's defaults, and why.
var defaultSettings = map[string]string{
	// The default of 128 MB is older than today's machines. A ledger's hot rows and
	// index pages fit here, and memory is only taken when it is touched.
	"shared_buffers": "256MB",
	// The default of 100 is too few for several instances and a test run beside them.
	"max_connections": "200",
	// The default of 1 GB forces a checkpoint every few seconds of full load, and after each
	// checkpoint every page that is touched goes to the log whole.
	"max_wal_size": "4GB",
	// Times in logs and query results must not depend on the machine.
	"timezone":     "UTC",
	"log_timezone": "UTC",
}

// ownSettings are decided by this package, because URL depends on them.
var ownSettings = []string{"data_directory", "listen_addresses", "port", "unix_socket_directories", "unix_socket_permissions"}

// checkSettings refuses settings that would make URL wrong.
func checkSettings(settings map[string]string) error {
	for name := range settings {
		if slices.Contains(ownSettings, strings.ToLower(name)) {
			return fmt.Errorf("localpg: the setting %s is chosen by localpg and cannot be given", name)
		}
	}
	return nil
}

// postmaster is a child process that runs PostgreSQL.
type postmaster struct {
	cmd       *exec.Cmd
	done      chan struct{} // Closed when the process has been reaped.
	waitErr   error         // What Wait returned; read it after done.
	logPath   string
	logOffset int64 // Where this process's part of the log begins.
}

// launch starts the postmaster and waits for it. It tries again when another process took the port
// or when backends of a killed postmaster still hold the shared memory: both pass by themselves.
func (d *dataDir) launch(ctx context.Context, bin binaries, cfg Config, log *slog.Logger) (*Server, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startMax, fmt.Errorf("not ready after %s", startMax))
	defer cancel()
	ticker := time.NewTicker(retryInterval)
	defer ticker.Stop()
	for began := time.Now(); ; {
		server, err := d.launchOnce(ctx, bin, cfg)
		if err == nil {
			return server, nil
		}
		var failed *startError
		if !errors.As(err, &failed) || !failed.passes() || time.Since(began) > retryMax {
			return nil, err
		}
		log.DebugContext(ctx, "starting PostgreSQL again", "reason", err)
		select {
		case <-ctx.Done():
			return nil, err
		case <-ticker.C:
		}
	}
}

// launchOnce starts a postmaster and returns when it is ready, or has exited.
func (d *dataDir) launchOnce(ctx context.Context, bin binaries, cfg Config) (*Server, error) {
	port, err := d.choosePort()
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	process, err := d.spawn(bin, d.arguments(port, cfg.Settings))
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	err = d.awaitReady(ctx, process)
	var version string
	if err == nil {
		version, err = d.prepare(ctx, port, cfg.Existing)
	}
	if err != nil {
		process.giveUp()
		return nil, err
	}
	d.rememberPort(port)
	server := &Server{dir: d, process: process, port: port, version: version, done: make(chan struct{})}
	go func() {
		<-process.done
		d.close()
		close(server.done)
	}()
	return server, nil
}

// arguments returns the postmaster's command line. Of a setting given twice, the last one counts.
func (d *dataDir) arguments(port int, settings map[string]string) []string {
	socketDirs := ""
	if d.hasSocket() {
		// PostgreSQL reads a list of quoted names here.
		socketDirs = `"` + strings.ReplaceAll(d.path, `"`, `""`) + `"`
	}
	addresses := ""
	if d.tcp {
		addresses = "127.0.0.1"
	}
	arguments := []string{"-D", d.cluster()}
	for _, group := range []map[string]string{defaultSettings, settings, {
		"listen_addresses":        addresses,
		"port":                    strconv.Itoa(port),
		"unix_socket_directories": socketDirs,
		"unix_socket_permissions": "0700",
	}} {
		for _, name := range slices.Sorted(maps.Keys(group)) {
			arguments = append(arguments, "-c", name+"="+group[name])
		}
	}
	return arguments
}

// spawn starts a postmaster that dies with this process where the system offers that.
func (d *dataDir) spawn(bin binaries, arguments []string) (*postmaster, error) {
	file, offset, err := d.openLog()
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL's log: %w", err)
	}
	defer file.Close()
	// No context: it ends with Start, while the process goes on.
	cmd := d.owner.command(context.Background(), filepath.Join(bin.dir, "postgres"), arguments...)
	cmd.Stdout, cmd.Stderr = file, file
	detach(cmd)
	process := &postmaster{
		cmd: cmd, done: make(chan struct{}),
		logPath: filepath.Join(d.path, logName), logOffset: offset,
	}
	started := make(chan error)
	go func() {
		// Linux sends the signal at a parent's death when the thread that forked ends. This thread
		// is for the postmaster alone and lives until it has exited.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			process.waitErr = cmd.Wait()
		}
		close(process.done)
	}()
	return process, <-started
}

// awaitReady waits until the postmaster takes connections.
func (d *dataDir) awaitReady(ctx context.Context, process *postmaster) error {
	exited := false
	err := poll(ctx, func() bool {
		select {
		case <-process.done:
			exited = true
			return true
		default:
		}
		pid, ready := d.postmasterFile()
		return ready && pid == process.cmd.Process.Pid
	})
	if exited {
		return &startError{reason: process.exit(), log: process.logTail()}
	}
	if err != nil {
		return &startError{reason: err, log: process.logTail()}
	}
	return nil
}

// giveUp ends a postmaster that Start will not return.
func (p *postmaster) giveUp() {
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	timer := time.NewTimer(giveUpMax)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		// The cluster survives that: it is a crash, and fsync is on.
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// exit returns how the process ended. Call it after done.
func (p *postmaster) exit() error {
	if p.waitErr != nil {
		return p.waitErr
	}
	return errors.New("exit status 0")
}

// startError is a postmaster that did not get ready.
type startError struct {
	reason error
	log    string
}

func (e *startError) Error() string {
	return "PostgreSQL did not start: " + e.reason.Error() + e.log
}

func (e *startError) Unwrap() error { return e.reason }

// passes reports whether the same start can work a moment later. The texts are stable: the
// cluster's messages are untranslated, because its locale is C, and a start that failed has no
// SQLSTATE to show.
func (e *startError) passes() bool {
	for _, text := range []string{
		"pre-existing shared memory block",
		"is still in use",
		"could not create any TCP/IP sockets",
		`lock file "postmaster.pid" already exists`,
	} {
		if strings.Contains(e.log, text) {
			return true
		}
	}
	return false
}

// openLog opens the log for appending and returns its size in bytes.
func (d *dataDir) openLog() (*os.File, int64, error) {
	if info, err := d.root.Stat(logName); err == nil && info.Size() > logBytesMax {
		if err := d.root.Rename(logName, logName+".1"); err != nil {
			return nil, 0, err
		}
	}
	file, err := d.root.OpenFile(logName, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// logTail returns the end of this process's log, ready to be appended to an error.
func (p *postmaster) logTail() string {
	file, err := os.Open(p.logPath)
	if err != nil {
		return ""
	}
	defer file.Close()
	offset := p.logOffset
	if info, err := file.Stat(); err == nil {
		offset = max(offset, info.Size()-tailBytesMax)
	}
	text, err := io.ReadAll(io.NewSectionReader(file, offset, tailBytesMax))
	if err != nil || len(bytes.TrimSpace(text)) == 0 {
		return ""
	}
	return "\nthe end of " + p.logPath + ":\n" + lastLines(text)
}

// lastLines returns the end of a program's output, indented.
func lastLines(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	lines = lines[max(0, len(lines)-tailLinesMax):]
	return "  " + strings.Join(lines, "\n  ")
}
