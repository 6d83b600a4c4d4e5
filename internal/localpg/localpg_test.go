package localpg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ownerDirVariable makes the test binary start a server on the directory it names, and wait.
const ownerDirVariable = "LOCALPG_TEST_OWNER_DIR"

// waitMax bounds every wait of these tests; the machine may be busy with other packages.
const waitMax = 2 * time.Minute

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerDirVariable); dir != "" {
		own(dir)
	}
	os.Exit(m.Run())
}

// own starts a server, prints its process id, and waits to be killed.
func own(dir string) {
	server, err := Start(context.Background(), Config{DataDir: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(server.PID())
	<-server.Done()
	os.Exit(2)
}

// newDir returns a directory that other users can enter, unlike t.TempDir's.
func newDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "localpg-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// newDataDir returns a data directory that does not exist yet.
func newDataDir(t testing.TB) string { return filepath.Join(newDir(t), "data") }

// withTimeout returns the test's context, bounded.
func withTimeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), waitMax)
	t.Cleanup(cancel)
	return ctx
}

// mustStart starts a server that ends with the test.
func mustStart(t testing.TB, cfg Config) *Server {
	t.Helper()
	server, err := Start(withTimeout(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

// wantRefusal starts a server that must not start, and returns the error's text.
func wantRefusal(t *testing.T, cfg Config, parts ...string) {
	t.Helper()
	server, err := Start(withTimeout(t), cfg)
	if err == nil {
		t.Fatal(errors.Join(errors.New("it started"), server.Kill()))
	}
	wantParts(t, err, parts...)
}

// wantParts checks the text of an error.
func wantParts(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("the error is\n%v\nwant %q in it", err, part)
		}
	}
}

// connect opens a session.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(withTimeout(t), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// query runs a query for one text.
func query(t *testing.T, url, sql string) (text string) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

// keep writes a row, and wantKept finds it again.
func keep(t *testing.T, server *Server) {
	t.Helper()
	conn := connect(t, server.URL())
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'gold' AS what"); err != nil {
		t.Fatal(err)
	}
}

func wantKept(t *testing.T, server *Server) {
	t.Helper()
	if what := query(t, server.URL(), "SELECT what FROM kept"); what != "gold" {
		t.Errorf("kept %q, want gold", what)
	}
}

// A stopped server comes back with its rows, at the same address, over the socket and over TCP.
func TestStopAndRestartKeepRows(t *testing.T) {
	t.Parallel()
	server := mustStart(t, Config{DataDir: newDataDir(t), TCP: true})
	keep(t, server)
	if err := server.Stop(withTimeout(t)); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	if err := server.Err(); err != nil {
		t.Errorf("after Stop, Err is %v, want nil", err)
	}
	if err := server.Kill(); err != nil {
		t.Errorf("Kill after Stop: %v", err)
	}
	again := mustStart(t, Config{DataDir: server.DataDir(), TCP: true})
	wantKept(t, again)
	if again.URL() != server.URL() {
		t.Errorf("the URL changed from %s to %s", server.URL(), again.URL())
	}
	if what := query(t, again.TCPURL(), "SELECT what FROM kept"); what != "gold" {
		t.Errorf("over TCP: kept %q, want gold", what)
	}
	if version := query(t, again.URL(), "SHOW server_version"); version != again.Version() {
		t.Errorf("Version is %q, the server says %q", again.Version(), version)
	}
}

// The settings that make commits durable are on, and this package's settings can be overridden,
// except the addresses.
func TestSettings(t *testing.T) {
	t.Parallel()
	server := mustStart(t, Config{DataDir: newDataDir(t), Settings: map[string]string{"max_connections": "17"}})
	for name, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on",
		"server_encoding": "UTF8", "password_encryption": "scram-sha-256", "listen_addresses": "",
		"max_connections": "17", "TimeZone": "UTC",
	} {
		if got := query(t, server.URL(), "SHOW "+name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, err := pgx.Connect(t.Context(), strings.Replace(server.URL(), server.dir.password, "wrong", 1)); err == nil {
		t.Error("a wrong password is accepted")
	}
	info, err := os.Stat(filepath.Join(server.DataDir(), passwordName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the password file: %v, %v; want mode 0600", info, err)
	}
	wantRefusal(t, Config{DataDir: newDataDir(t), Settings: map[string]string{"Port": "1"}}, "Port", "cannot be given")
}

// A crash of PostgreSQL loses nothing that was committed, and a start right after it waits for
// the backends that the crash left.
func TestKillAndRestartRecovers(t *testing.T) {
	t.Parallel()
	server := mustStart(t, Config{DataDir: newDataDir(t)})
	keep(t, server)
	busy := connect(t, server.URL())
	ended := make(chan error, 1)
	go func() {
		// It computes and waits for nothing, so that it notices the crash late.
		_, err := busy.Exec(context.Background(), "SELECT count(*) FROM generate_series(1, 3000000)")
		ended <- err
	}()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	wantKept(t, mustStart(t, Config{DataDir: server.DataDir()}))
	<-ended //nolint:errcheck // it was killed, so any error will do
}

// The files of a crashed postmaster block nothing, even when another process has its process id
// now, or when the crash left them empty.
func TestStalePostmasterFile(t *testing.T) {
	t.Parallel()
	server := mustStart(t, Config{DataDir: newDataDir(t)})
	keep(t, server)
	// A process of the user that PostgreSQL runs as, which PostgreSQL takes for a postmaster.
	other := server.dir.owner.command(withTimeout(t), "/bin/sh", "-c", "read line")
	input, err := other.StdinPipe()
	if err == nil {
		err = other.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, firstLine := range []string{strconv.Itoa(other.Process.Pid), ""} {
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		socketLock := filepath.Join(server.DataDir(), ".s.PGSQL."+strconv.Itoa(server.port)+".lock")
		for _, path := range []string{filepath.Join(server.dir.cluster(), "postmaster.pid"), socketLock} {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(string(text), "\n")
			text = []byte(firstLine + "\n" + rest)
			if firstLine == "" {
				text = nil
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		server = mustStart(t, Config{DataDir: server.DataDir()})
		wantKept(t, server)
	}
	if err := errors.Join(input.Close(), ignoreExit(other.Wait())); err != nil {
		t.Error(err)
	}
}

// ignoreExit drops a program's exit status.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// Done and Err report a postmaster that ended without Stop or Kill.
func TestExitOnItsOwn(t *testing.T) {
	t.Parallel()
	server := mustStart(t, Config{DataDir: newDataDir(t)})
	if err := server.Err(); err != nil {
		t.Errorf("while it runs, Err is %v, want nil", err)
	}
	if err := server.process.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	wantParts(t, server.Err(), "exited on its own", "killed", strconv.Itoa(server.PID()))
}

// A directory has one owner, and the refusal names it. The owner is not disturbed.
func TestSecondStartIsRefused(t *testing.T) {
	t.Parallel()
	server := mustStart(t, Config{DataDir: newDataDir(t)})
	wantRefusal(t, Config{DataDir: server.DataDir()}, "in use by process "+strconv.Itoa(os.Getpid()), server.DataDir())
	keep(t, server)
}

// A cluster of another version is refused and left as it is.
func TestOtherVersionIsRefused(t *testing.T) {
	t.Parallel()
	server := mustStart(t, Config{DataDir: newDataDir(t)})
	keep(t, server)
	if err := server.Stop(withTimeout(t)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(server.dir.cluster(), "PG_VERSION")
	truth, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, lie := range []string{"12", "9.6"} {
		if err := os.WriteFile(path, []byte(lie+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, Config{DataDir: server.DataDir()}, lie, server.dir.cluster(), "nothing was changed")
	}
	if err := os.WriteFile(path, truth, 0o600); err != nil {
		t.Fatal(err)
	}
	wantKept(t, mustStart(t, Config{DataDir: server.DataDir()}))
}

// Directories that cannot be used are refused with a reason.
func TestUnusableDirectories(t *testing.T) {
	t.Parallel()
	wantRefusal(t, Config{}, "no data directory")

	closed := newDir(t)
	mode := os.FileMode(0)
	if os.Geteuid() == 0 {
		mode = 0o700 // Closed to the user PostgreSQL runs as; not closed to the test.
	}
	if err := os.Chmod(closed, mode); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, Config{DataDir: filepath.Join(closed, "data")}, closed)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}

	foreign := newDir(t)
	if err := os.WriteFile(filepath.Join(foreign, "letter.txt"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, Config{DataDir: foreign}, "letter.txt", "choose another")
}

// An initdb that was interrupted blocks nothing and leaves nothing.
func TestInterruptedInit(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	half := filepath.Join(dir, initPrefix+"half")
	err := errors.Join(
		os.MkdirAll(half, 0o700),
		os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600),
		os.WriteFile(filepath.Join(dir, lockName), nil, 0o600),
		os.WriteFile(filepath.Join(dir, passwordName), []byte("old\n"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	keep(t, mustStart(t, Config{DataDir: dir}))
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half cluster: %v, want that it is gone", err)
	}
}

// A path that no socket fits into gets TCP, and odd characters in a path do no harm.
func TestOddPaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{strings.Repeat("long", 25), `a "quoted" 100% name`, "comma, separated"} {
		server := mustStart(t, Config{DataDir: filepath.Join(newDir(t), name)})
		keep(t, server)
		wantKept(t, server)
		if socket := strings.Contains(server.URL(), "host="); socket != strings.Contains(name, "quoted") {
			t.Errorf("%q: the URL is %s", name, server.URL())
		}
	}
}

// When PostgreSQL refuses to start, the error has its reason, and the directory is free again.
func TestStartErrorHasTheLog(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	wantRefusal(t, Config{DataDir: dir, Settings: map[string]string{"shared_preload_libraries": "no_such_thing"}},
		"did not start", "no_such_thing", logName)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Config{DataDir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
	keep(t, mustStart(t, Config{DataDir: dir}))
}

// startOwner starts a process that owns a server, and returns it with the postmaster's id.
func startOwner(t *testing.T, dir string) (*exec.Cmd, int) {
	t.Helper()
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerDirVariable+"="+dir)
	output, err := owner.StdoutPipe()
	if err == nil {
		err = owner.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	pid, notANumber := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || notANumber != nil {
		t.Fatalf("the owner said %q: %v", line, errors.Join(err, owner.Process.Kill(), ignoreExit(owner.Wait())))
	}
	return owner, pid
}

// When the owner is killed, the next one gets the directory and the rows, however soon it comes.
func TestOwnerIsKilled(t *testing.T) {
	t.Parallel()
	server := mustStart(t, Config{DataDir: newDataDir(t)})
	keep(t, server)
	if err := server.Stop(withTimeout(t)); err != nil {
		t.Fatal(err)
	}
	owner, pid := startOwner(t, server.DataDir())
	wantRefusal(t, Config{DataDir: server.DataDir()}, "in use by process "+strconv.Itoa(owner.Process.Pid))
	if err := errors.Join(owner.Process.Kill(), ignoreExit(owner.Wait())); err != nil {
		t.Fatal(err)
	}
	wantKept(t, mustStart(t, Config{DataDir: server.DataDir()}))
	if runsOn(pid, server.dir.cluster()) {
		t.Errorf("the former postmaster (pid %d) still runs", pid)
	}
}

// On Linux PostgreSQL stops when its owner is killed, without any help.
func TestPostgresDiesWithItsOwner(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		return // The next Start stops it there; TestOwnerIsKilled covers that.
	}
	dir := newDataDir(t)
	owner, pid := startOwner(t, dir)
	if err := errors.Join(owner.Process.Kill(), ignoreExit(owner.Wait())); err != nil {
		t.Fatal(err)
	}
	cluster := filepath.Join(dir, clusterName)
	if err := poll(withTimeout(t), func() bool { return !runsOn(pid, cluster) }); err != nil {
		t.Errorf("PostgreSQL (pid %d) outlives its owner: %v", pid, err)
	}
}

// Everything works for an ordinary user too. Started by root, the test runs itself again as one.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return // All other tests were run by an ordinary user already.
	}
	uid, gid, err := unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	dir := newDir(t)
	program := filepath.Join(dir, "localpg.test")
	text, err := os.ReadFile(os.Args[0])
	err = errors.Join(err, os.WriteFile(program, text, 0o755), os.Chown(dir, uid, gid))
	if err != nil {
		t.Fatal(err)
	}
	again := account{uid: uid, gid: gid, drop: true}.command(withTimeout(t), program, "-test.v",
		"-test.run=^(TestStopAndRestartKeepRows|TestSecondStartIsRefused|TestUnusableDirectories)$")
	again.Env = append(again.Env, "TMPDIR="+dir)
	output, err := again.CombinedOutput()
	if err != nil || strings.Count(string(output), "--- PASS") != 3 {
		t.Errorf("as user id %d: %v\n%s", uid, err, output)
	}
}

// DefaultDataDir follows the XDG specification for all but root.
func TestDefaultDataDir(t *testing.T) {
	dir, err := DefaultDataDir("/somewhere")
	want := []string{"/somewhere/internal-transfers"}
	if os.Geteuid() == 0 {
		want = []string{"/var/lib/internal-transfers"}
	}
	if err != nil || !slices.Contains(want, dir) {
		t.Errorf("DefaultDataDir is %q, %v; want %q", dir, err, want)
	}
}
