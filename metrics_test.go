package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
	"internaltransfers/internal/pgtest"
)

// scrape reads the metrics of a server as Prometheus does: values by name and labels.
func (p *process) scrape(t *testing.T) map[string]float64 {
	t.Helper()
	response, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("metrics: %d, %v\n%s", response.StatusCode, err, body)
	}
	got := make(map[string]float64)
	for line := range strings.Lines(string(body)) {
		end := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || end < 0 {
			continue
		}
		if got[line[:end]], err = strconv.ParseFloat(strings.TrimSpace(line[end:]), 64); err != nil {
			t.Fatalf("metrics: %q: %v", line, err)
		}
	}
	return got
}

// awaitMetrics scrapes until these are what they should be: figures of the database are reused for
// some seconds.
func (p *process) awaitMetrics(t *testing.T, want map[string]float64) map[string]float64 {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		got, wrong := p.scrape(t), ""
		for name, value := range want {
			if v, ok := got[name]; !ok || v != value {
				wrong = fmt.Sprintf("%s is %v, not %v", name, v, value)
			}
		}
		switch {
		case wrong == "":
			return got
		case time.Now().After(deadline):
			t.Fatalf("%s in %v", wrong, got)
		}
	}
}

// TestMetricsTellWhatWasDone scrapes a server at work: webhooks that no endpoint takes, a stream, a
// proof, connections.
func TestMetricsTellWhatWasDone(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(receiver.Close)
	p := serve(t, "DATABASE_URL="+pgtest.NewDatabase(t), "ADMIN_ADDR=127.0.0.1:0", "WEBHOOK_ALLOW_PRIVATE=true", "DB_READ_CONNS=9", "BATCHES_IN_FLIGHT=3")
	a := p.post(t, "/api/v1/accounts", `{"initial_balance": 100}`)["accountId"].(string)
	b := p.post(t, "/api/v1/accounts", `{}`)["accountId"].(string)
	p.post(t, "/api/v1/webhooks", `{"url": "`+receiver.URL+`", "filter": {"types": ["TRANSFER_CREATED"]}}`)
	for range 3 {
		p.post(t, "/api/v1/transfers", `{"from_account_id": "`+a+`", "to_account_id": "`+b+`", "amount": 1}`)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := transfersv1connect.NewLedgerServiceClient(http.DefaultClient, "http://"+p.address).
		WatchTransfers(ctx, &transfersv1.WatchTransfersRequest{After: "0"})
	if err != nil || !stream.Receive() {
		t.Fatalf("watch: %v", connect.CodeOf(err))
	}
	response, err := http.Get("http://" + p.address + "/api/v1/check")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("check: %v %v", response, err)
	}
	_ = response.Body.Close()

	const streams = `rpc_server_streams{procedure="/transfers.v1.LedgerService/WatchTransfers"}`
	want := map[string]float64{
		`webhook_endpoints{endpoint_status="ENABLED"}`:           1,
		`webhook_endpoints{endpoint_status="DISABLED"}`:          0,
		`webhook_deliveries_pending{endpoint_status="ENABLED"}`:  3,
		`webhook_deliveries_pending{endpoint_status="DISABLED"}`: 0,
		`webhook_endpoints_held`:                                 1,
		`ledger_event_followers`:                                 2, // the stream and the endpoint
		streams:                                                  1,
		`ledger_event_horizon_lag_positions`:                     0,
		`ledger_event_horizon_wait_seconds`:                      0,
		`ledger_database_up`:                                     1,
		`ledger_db_connections_max{pool="read"}`:                 9,
		`ledger_db_connections_max{pool="write"}`:                3,
		`ledger_db_acquires_canceled_total{pool="write"}`:        0,
		`ledger_last_proof_ok`:                                   1,
		`ledger_last_proof_incremental`:                          0,
		`ledger_queue_depth`:                                     0,
	}
	got := p.awaitMetrics(t, want)
	build := fmt.Sprintf(`internaltransfers_build_info{go_version="%s",`, runtime.Version())
	built := false
	for name, value := range got {
		built = built || strings.HasPrefix(name, build) && value == 1
	}
	age := time.Now().Unix() - int64(got["ledger_last_proof_timestamp_seconds"])
	oldest := got[`webhook_oldest_undelivered_seconds{endpoint_status="ENABLED"}`]
	switch {
	case !built:
		t.Errorf("no %s in %v", build, got)
	case age < -60 || age > 600 || got["ledger_last_proof_duration_seconds"] <= 0:
		t.Errorf("the proof was made %d s ago and took %v s", age, got["ledger_last_proof_duration_seconds"])
	case oldest <= 0 || oldest > 600:
		t.Errorf("the oldest event is %v s old", oldest)
	case got[`ledger_db_acquires_total{pool="read"}`] < 1 || got[`ledger_db_connections{pool="write",state="idle"}`] < 1:
		t.Errorf("no connection was used: %v", got)
	}
	cancel()
	p.awaitMetrics(t, map[string]float64{streams: 0, `ledger_event_followers`: 1})
	p.terminate(t)
}
