package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/pgtest"
)

// TestPortIsTaken: a port that another process has is found before anything is started or changed.
func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	database := pgtest.NewEmptyDatabase(t, "")
	data := privateData(t)
	for _, c := range []struct{ port, other, want string }{
		{"LISTEN_ADDR", "ADMIN_ADDR", "internaltransfers: error: --listen-addr (LISTEN_ADDR): address " + address + " is in use\n"},
		{"ADMIN_ADDR", "LISTEN_ADDR", "internaltransfers: error: --admin-addr (ADMIN_ADDR): address " + address + " is in use\n"},
	} {
		for _, where := range []string{"DATABASE_URL=" + database, "DATA_DIR=" + data} {
			out, err := program(t, []string{c.port + "=" + address, c.other + "=127.0.0.1:0", where}, "serve").CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || string(out) != c.want {
				t.Errorf("%s, %s: %v, want %q:\n%s", c.port, where, err, c.want, out)
			}
		}
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a private PostgreSQL was begun: %v", err)
	}
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var tables int
	err = conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'ledger')").Scan(&tables)
	if err != nil || tables != 0 {
		t.Errorf("the database has %d tables: %v", tables, err)
	}
}

// A gate lets connections to a database wait until it is opened.
func newGate(t *testing.T, database string) (gated string, open func()) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	behind := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	opened := make(chan struct{})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				<-opened
				server, err := net.Dial("tcp", behind)
				if err != nil {
					_ = conn.Close()
					return
				}
				go func() { _, _ = io.Copy(server, conn); _ = server.Close() }()
				_, _ = io.Copy(conn, server)
				_ = conn.Close()
			}()
		}
	}()
	u.Host = listener.Addr().String()
	return u.String(), func() { close(opened) }
}

// TestAliveWhileItStarts: while a database takes its time, the process reports that it is alive and
// not ready, so that no supervisor restarts it in the midst of a migration. Its log has its
// version.
func TestAliveWhileItStarts(t *testing.T) {
	t.Parallel()
	database, open := newGate(t, pgtest.NewDatabase(t))
	cmd := program(t, []string{"DATABASE_URL=" + database + "&connect_timeout=300", "LISTEN_ADDR=127.0.0.1:0", "LOG_FORMAT=json"}, "serve")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(stderr)
	await := func(message string) (line struct{ Msg, Address, Version, Go string }) {
		for lines.Scan() {
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == message {
				return line
			}
		}
		t.Fatalf("the log has no %q: %v", message, lines.Err())
		return line
	}
	line := await("starting")
	if line.Version == "" || !strings.HasPrefix(line.Go, "go") {
		t.Errorf("the log does not say what is starting: %+v", line)
	}
	for path, want := range map[string]int{"/healthcheck": http.StatusOK, "/readycheck": http.StatusServiceUnavailable} {
		response, err := http.Get("http://" + line.Address + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
		}
	}
	open()
	p := &process{address: await("listening").Address}
	p.post(t, "/api/v1/account/create", `{}`)
}
