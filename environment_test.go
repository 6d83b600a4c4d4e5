package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"internaltransfers/internal/pgtest"
)

// TestURLErrorNamesVariable: where a variable of libpq keeps a good URL from being used, the error
// names that variable and no other.
func TestURLErrorNamesVariable(t *testing.T) {
	for _, variable := range []string{"PGSERVICE=x", "PGSSLROOTCERT=/nope", "PGSSLMODE=bogus", "PGSSLCERT=/nope", "PGCONNECT_TIMEOUT=abc"} {
		name, _, _ := strings.Cut(variable, "=")
		got := usage(t, []string{"DATABASE_URL=postgres://u:p@localhost/d", "PGAPPNAME=x", variable}, "serve")
		requireOneLine(t, variable, got, "--database-url (DATABASE_URL) cannot be used with the environment variable "+name+" as it is")
	}
}

// TestServerErrorNamesVariable: so does the error of a server that is asked.
func TestServerErrorNamesVariable(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + pgtest.NewDatabase(t)
	requireStatus(t, []string{database, "PGTZ=Nowhere/X"}, 2, []string{"the parameter timezone", "the environment variable PGTZ"}, "check")
	superuser := "DATABASE_URL=" + pgtest.Superuser(strings.TrimPrefix(database, "DATABASE_URL="))
	requireStatus(t, []string{superuser, "PGOPTIONS=-c default_transaction_deferrable=on -c search_path=x"}, 0, nil, "check")
}

// TestPrivateServerHeedsNoVariables: libpq's variables are about another database.
func TestPrivateServerHeedsNoVariables(t *testing.T) {
	t.Parallel()
	env := []string{"DATA_DIR=" + privateData(t), "PG_BIN=" + os.Getenv("PG_BIN"), "PGTZ=Nowhere/X", "PGSERVICE=x", "PGCONNECT_TIMEOUT=abc",
		"PGOPTIONS=-c session_replication_role=replica", "PGHOST=nowhere.invalid"}
	requireStatus(t, env, 0, nil, "migrate")
}

// TestReaderOfTheLogEnds: a server whose log nobody reads any more serves on, and drains.
func TestReaderOfTheLogEnds(t *testing.T) {
	t.Parallel()
	log, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := program(t, []string{"LISTEN_ADDR=127.0.0.1:0", "LOG_FORMAT=json", "DATABASE_URL=" + pgtest.NewDatabase(t)}, "serve")
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	_ = stderr.Close() // the process has it
	var line struct{ Msg, Address string }
	for lines := bufio.NewScanner(log); line.Msg != "listening" && lines.Scan(); {
		_ = json.Unmarshal(lines.Bytes(), &line) // another line is none of ours
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, address: line.Address}
	for range 3 {
		p.post(t, "/api/v1/account/create", `{"initial_balance": 1.0}`)
		response, err := http.Get("http://" + line.Address + "/nothing") // is logged
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended = true
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with: %v", err)
	}
}
