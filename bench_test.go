package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"internaltransfers/internal/pgtest"
)

// TestBench: one command starts a database and a server, measures, proves the ledger and leaves
// nothing behind.
func TestBench(t *testing.T) {
	temporary := privateData(t)
	if err := os.Mkdir(temporary, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, []string{"TMPDIR=" + temporary, "PG_BIN=" + os.Getenv("PG_BIN")},
		"bench", "--accounts=20", "--callers=4", "--duration=1s", "--warm-up=10ms")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"throughput", "bytes of WAL", "server memory", "fsync=on", "every invariant holds", "conserved"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("bench does not say %q:\n%s", want, out)
		}
	}
	left, err := os.ReadDir(temporary)
	if err != nil || len(left) > 0 {
		t.Errorf("bench left %v %v", left, err)
	}
}

// TestBenchFindsDamage: a benchmark of a ledger that is not sound is no benchmark.
func TestBenchFindsDamage(t *testing.T) {
	url := pgtest.NewDatabase(t)
	execute(t, url, `UPDATE account SET balance = balance + 1 WHERE account_id = (SELECT equity_account_id FROM currency WHERE code = 'USD')`)
	cmd := program(t, []string{"BENCH_DATABASE_URL=" + url},
		"bench", "--accounts=20", "--callers=2", "--duration=50ms", "--warm-up=0s")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "the ledger is not sound") {
		t.Errorf("bench: %v\n%s", err, out)
	}
}
