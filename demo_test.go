package main

import (
	"strings"
	"testing"
	"time"

	"internaltransfers/internal/pgtest"
)

// transfers returns how many transfers a server has, at most a page.
func (p *process) transfers(t *testing.T) int {
	t.Helper()
	list, _ := p.post(t, "/transfers.v1.TransferService/ListTransfers", `{"pageSize": 1000}`)["transfers"].([]any)
	return len(list)
}

// A demo moves by itself, and goes on after a restart.
func TestServeDemo(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + pgtest.NewDatabase(t)
	for range 2 {
		p := serve(t, database, "DEMO=true")
		before := p.transfers(t)
		if before < 600 {
			t.Errorf("%d transfers at the start", before)
		}
		for end := time.Now().Add(time.Minute); p.transfers(t) <= before; {
			if time.Now().After(end) {
				t.Fatalf("nothing moves, with %d transfers", before)
			}
		}
		p.terminate(t)
		if !strings.Contains(p.logs.String(), "DEMO") {
			t.Error("the log does not tell that this is a demo")
		}
	}
	if output, err := program(t, []string{database}, "check").CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, output)
	}
}

// A ledger with data is refused before anything is changed.
func TestServeDemoRefusesData(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	execute(t, url, "INSERT INTO account (account_id, currency, min_balance, create_fingerprint) VALUES (gen_random_uuid(), 'USD', 0, '')")
	output, err := program(t, []string{"DATABASE_URL=" + url, "LISTEN_ADDR=127.0.0.1:0"}, "serve", "--demo").CombinedOutput()
	if err == nil || !strings.Contains(string(output), "the ledger has data, and is no demo") {
		t.Errorf("got %v\n%s", err, output)
	}
	execute(t, url, "DO $$ BEGIN ASSERT (SELECT count(*) FROM account WHERE NOT is_equity) = 1 AND (SELECT count(*) FROM setting) = 1; END $$")
}
