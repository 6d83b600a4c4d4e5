package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/server"
)

// TestAdmin: the metrics count the calls, profiles are there, and neither is on the callers' port.
func TestAdmin(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	l := openLedger(t, postgres.Config{DatabaseURL: pgtest.NewDatabase(t), Metrics: registry})
	f := serve(t, server.Config{Ledger: l, Metrics: registry})
	_, account := f.send(t, http.MethodPost, "/api/v1/accounts", `{"account_id": "12359cc6-6ea6-41a6-9c52-79734acbf191", "initial_balance": 5}`)
	if !strings.Contains(account, `"balance":"5.00"`) {
		t.Fatal(account)
	}
	transfer := `{"transfer_id": "0198c5a8-5d70-7c3e-9d3f-6f2f8c1f7a01", "from_account_id": "12359cc6-6ea6-41a6-9c52-79734acbf191",` +
		` "to_account_id": "fcc612ef-05c7-51eb-9f2a-022abd238d80", "amount": "7"}`
	f.send(t, http.MethodPost, "/api/v1/transfers", transfer)
	f.send(t, http.MethodPost, "/api/v1/transfers", transfer)
	f.send(t, http.MethodPost, "/api/v1/transfers", strings.Replace(strings.Replace(transfer, `"7"`, `"2"`, 1), "7a01", "7a02", 1))

	operators, err := server.NewAdmin(server.AdminConfig{Metrics: registry, AllowedHosts: []string{"ops.example"}})
	if err != nil {
		t.Fatal(err)
	}
	admin := httptest.NewServer(operators.Handler)
	defer admin.Close()
	operator := &fixture{url: admin.URL, http1: admin.Client()}
	_, metrics := operator.send(t, http.MethodGet, "/metrics", "")
	for _, want := range []string{
		`ledger_transfers_total{outcome="INSUFFICIENT_FUNDS"} 1`,
		`ledger_transfers_total{outcome="REPLAYED"} 1`,
		`ledger_transfers_total{outcome="SUCCESS"} 1`,
		`ledger_batch_size_count 4`,
		`ledger_batch_duration_seconds_count 4`,
		`ledger_batch_retries_total 0`,
		`ledger_queue_depth 0`,
		`rpc_server_duration_seconds_count{code="failed_precondition",procedure="/transfers.v1.TransferService/CreateTransfer"} 2`,
		`rpc_server_duration_seconds_count{code="ok",procedure="/transfers.v1.AccountService/CreateAccount"} 1`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	if res, _ := operator.send(t, http.MethodGet, "/debug/pprof/goroutine?debug=1", ""); res.StatusCode != http.StatusOK {
		t.Errorf("profiles: %d", res.StatusCode)
	}
	if res, text := operator.send(t, http.MethodGet, "/debug/pprof/cmdline", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("the command line: %d %s", res.StatusCode, text)
	}
	if res, _ := operator.send(t, http.MethodGet, "/healthcheck", ""); res.StatusCode != http.StatusOK {
		t.Errorf("health: %d", res.StatusCode)
	}
	if res, _ := operator.send(t, http.MethodGet, "/readycheck", ""); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readiness while the server starts: %d", res.StatusCode)
	}
	operators.Ready(f.server)
	if res, text := operator.send(t, http.MethodGet, "/readycheck", ""); res.StatusCode != http.StatusOK {
		t.Errorf("readiness: %d %s", res.StatusCode, text)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/goroutine"} {
		for host, want := range map[string]int{"ops.example:9092": http.StatusOK, "evil.example": http.StatusMisdirectedRequest} {
			if res := operator.forHost(t, http.MethodGet, path, host); res.StatusCode != want {
				t.Errorf("%s of %s: %d, want %d", path, host, res.StatusCode, want)
			}
		}
		if res, _ := operator.send(t, http.MethodGet, path, "", "Sec-Fetch-Site", "cross-site"); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s for a foreign page: %d", path, res.StatusCode)
		}
	}
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if res, _ := f.send(t, http.MethodGet, path, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s on the callers' port: %d", path, res.StatusCode)
		}
	}
}
