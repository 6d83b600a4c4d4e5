package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"internaltransfers/internal/pgtest"
)

// TestExportAndImport: `export | import` copies a ledger, and so does a file.
func TestExportAndImport(t *testing.T) {
	original := pgtest.NewDatabase(t)
	p := serve(t, "DATABASE_URL="+original)
	p.post(t, "/api/v1/account/create", `{"account_id": "12359cc6-6ea6-41a6-9c52-79734acbf191", "initial_balance": 100.0}`)
	p.terminate(t)
	file := filepath.Join(t.TempDir(), "ledger.tar.gz")
	export := program(t, []string{"DATABASE_URL=" + original}, "export", "--output", file)
	if out, err := export.CombinedOutput(); err != nil || !strings.Contains(string(out), "7 accounts, 1 transfers") {
		t.Fatalf("export: %v\n%s", err, out)
	}
	piped, err := program(t, []string{"DATABASE_URL=" + original}, "export").Output()
	if err != nil {
		t.Fatalf("export to standard output: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	for name, args := range map[string][]string{"file": {"import", "--input", file}, "pipe": {"import"}} {
		duplicate := pgtest.NewDatabase(t)
		for _, want := range []string{"the ledger is sound", "the ledger is not empty, and an import replaces nothing"} {
			cmd := program(t, []string{"DATABASE_URL=" + pgtest.Owner(duplicate)}, args...)
			cmd.Stdin = bytes.NewReader(piped)
			out, err := cmd.CombinedOutput()
			if !strings.Contains(string(out), want) || (err == nil) != (want == "the ledger is sound") {
				t.Errorf("import from a %s: %v, want %q:\n%s", name, err, want, out)
			}
		}
		p := serve(t, "DATABASE_URL="+duplicate)
		if account := p.post(t, "/api/v1/account/get", `{"account_id": "12359cc6-6ea6-41a6-9c52-79734acbf191"}`); account["balance"] != "100.00" {
			t.Errorf("from a %s: %v", name, account)
		}
		p.terminate(t)
	}
	if out, err := program(t, []string{"DATABASE_URL=" + original}, "export", "--output", file).CombinedOutput(); err == nil ||
		!strings.Contains(string(out), "file already exists") {
		t.Errorf("export over a file: %v\n%s", err, out)
	}
}

// TestImportFindsDamage: what is broken in the ledger is printed, and a script sees it by the exit
// status.
func TestImportFindsDamage(t *testing.T) {
	original, duplicate := pgtest.NewDatabase(t), pgtest.NewDatabase(t)
	execute(t, original, `UPDATE account SET balance = balance + 1 WHERE account_id = (SELECT equity_account_id FROM currency WHERE code = 'USD')`)
	file, err := program(t, []string{"DATABASE_URL=" + original}, "export").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := program(t, []string{"DATABASE_URL=" + pgtest.Owner(duplicate)}, "import")
	cmd.Stdin = bytes.NewReader(file)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "currency USD: balances sum to 1") || !strings.Contains(string(out), "the ledger of the file is broken") {
		t.Errorf("import: %v\n%s", err, out)
	}
	if out, err := program(t, []string{"DATABASE_URL=" + duplicate}, "check").CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
}

// TestExportAndImportAlone: without DATABASE_URL they are about a private PostgreSQL.
func TestExportAndImportAlone(t *testing.T) {
	pg := "PG_BIN=" + os.Getenv("PG_BIN")
	original, duplicate := []string{"DATA_DIR=" + privateData(t), pg}, []string{"DATA_DIR=" + privateData(t), pg}
	if out, err := program(t, original, "export").CombinedOutput(); err == nil || !strings.Contains(string(out), "there is no PostgreSQL cluster") {
		t.Errorf("export of nothing: %v\n%s", err, out)
	}
	if out, err := program(t, original, "migrate").CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	file, err := program(t, original, "export").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := program(t, duplicate, "import")
	cmd.Stdin = bytes.NewReader(file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("import: %v\n%s", err, out)
	}
}

// TestInterruptedExport: an interrupted export leaves no file, and one whose reader is gone fails.
func TestInterruptedExport(t *testing.T) {
	original := pgtest.NewDatabase(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, []string{"DATABASE_URL=" + original}, "export")
	cmd.Stdout = w
	if err := cmd.Run(); err == nil {
		t.Error("an export without a reader succeeds")
	}
	// The export waits for the time of its snapshot, and so cannot end by itself.
	execute(t, original, "CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS "+
		"'SELECT clock_timestamp() FROM pg_sleep(600)'")
	dir := t.TempDir()
	cmd = program(t, []string{"DATABASE_URL=" + original}, "export", "--output", filepath.Join(dir, "ledger.tar.gz"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	if !lines.Scan() || !strings.Contains(lines.Text(), "the snapshot is taken") {
		t.Errorf("it says %q", lines.Text())
	}
	if begun := namesIn(t, dir); len(begun) != 1 || !strings.HasPrefix(begun[0], ".ledger.tar.gz.partial-") {
		t.Errorf("there are %v", begun)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(string(said), "context canceled") {
		t.Errorf("it ended with %v:\n%s", err, said)
	}
	if left := namesIn(t, dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
