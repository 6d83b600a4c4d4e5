package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/pgtest"
)

// runMain makes the test binary behave as the program itself, so that tests drive real processes.
const runMain = "INTERNALTRANSFERS_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		os.Exit(0)
	}
	pgtest.Main(m)
}

// program returns the command line with arguments, in an environment without the program's
// variables but those given.
func program(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], args...)
	cmd.Env = []string{runMain + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// A process is a server that runs.
type process struct {
	cmd     *exec.Cmd
	address string // host:port
	admin   string // host:port of its metrics, if it has ADMIN_ADDR
	exited  chan struct{}
	err     error         // of the exit; after exited is closed
	logs    *bytes.Buffer // standard error; after exited is closed
}

// serve starts a server on a free port and waits until it listens. The test's end kills it.
func serve(t *testing.T, env ...string) *process {
	t.Helper()
	env = append([]string{"LISTEN_ADDR=127.0.0.1:0", "LOG_FORMAT=json", "LOG_LEVEL=warn"}, env...)
	cmd := program(t, env, "serve", "--log-level=info")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{}), logs: &bytes.Buffer{}}
	listening := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(io.TeeReader(stderr, p.logs))
		for lines.Scan() {
			var line struct {
				Msg, Address string
				Admin        string `json:"admin_address"`
			}
			if json.Unmarshal(lines.Bytes(), &line) != nil {
				continue
			}
			if line.Admin != "" {
				p.admin = line.Admin // it comes first
			}
			if line.Msg == "listening" {
				listening <- line.Address
			}
		}
		p.err = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() { p.kill() })
	select {
	case p.address = <-listening:
	case <-p.exited:
		t.Fatalf("the server ended: %v\n%s", p.err, p.logs)
	}
	return p
}

// kill ends the process as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.exited
}

// terminate signals the process to end, and waits until it has.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if p.err != nil {
		t.Errorf("SIGTERM: %v\n%s", p.err, p.logs)
	}
}

// post sends a JSON request as curl does and returns the decoded response.
func (p *process) post(t *testing.T, path, body string) map[string]any {
	t.Helper()
	response, err := http.Post("http://"+p.address+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %d %v", path, response.StatusCode, answer)
	}
	return answer
}

// privateData returns a data directory that the private PostgreSQL can use, also when the tests run
// as root.
func privateData(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "internaltransfers-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // the rest lies in the system's temporary directory
	return filepath.Join(dir, "data")
}

// execute runs a statement that the service never runs, nor may.
func execute(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Superuser(url))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// TestServeAlone: one command, nothing else; data is kept between runs.
func TestServeAlone(t *testing.T) {
	data := privateData(t)
	env := []string{"DATA_DIR=" + data, "PG_BIN=" + os.Getenv("PG_BIN")}
	p := serve(t, env...)
	p.post(t, "/api/v1/account/create", `{"account_id": "12359cc6-6ea6-41a6-9c52-79734acbf191", "initial_balance": 100.0}`)
	p.post(t, "/api/v1/account/create", `{"account_id": "12359cc6-6ea6-41a6-9c52-79734acbf192"}`)
	transfer := p.post(t, "/api/v1/transaction/create", `{"from_account_id": "12359cc6-6ea6-41a6-9c52-79734acbf191", "to_account_id": "12359cc6-6ea6-41a6-9c52-79734acbf192", "amount": 20.0}`)
	if transfer["status"] != "SUCCESS" || transfer["fromBalance"] != "80.00" {
		t.Errorf("transfer: %v", transfer)
	}
	p.terminate(t)

	out, err := program(t, env, "check").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the ledger is sound") {
		t.Errorf("check: %v\n%s", err, out)
	}
	p = serve(t, env...)
	account := p.post(t, "/api/v1/account/get", `{"account_id": "12359cc6-6ea6-41a6-9c52-79734acbf191"}`)
	if account["balance"] != "80.00" {
		t.Errorf("after a restart: %v", account)
	}
	p.terminate(t)
}

// TestSecretFile: the database's password need not be in the environment.
func TestSecretFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(pgtest.NewDatabase(t)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := program(t, []string{"DATABASE_URL_FILE=" + file}, "check").CombinedOutput(); err != nil {
		t.Errorf("DATABASE_URL_FILE: %v\n%s", err, out)
	}
	out, err := program(t, []string{"DATABASE_URL_FILE=" + file, "DATABASE_URL=postgres://x"}, "check").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "both DATABASE_URL and DATABASE_URL_FILE are set") {
		t.Errorf("both: %v\n%s", err, out)
	}
	if err := os.WriteFile(file, []byte("ftp://user:hunter2@proxy\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = program(t, []string{"WEBHOOK_PROXY_FILE=" + file}, "serve").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--webhook-proxy (WEBHOOK_PROXY) must begin with http") || strings.Contains(string(out), "hunter2") {
		t.Errorf("WEBHOOK_PROXY_FILE: %v\n%s", err, out)
	}
}
