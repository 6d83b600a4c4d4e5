package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
	"internaltransfers/internal/webhook"
	"internaltransfers/ledger"
)

// A gathering is what a scrape of the metrics finds, by the metric's name and the values of its
// labels.
type gathering map[string]float64

func gather(t testing.TB, registry *prometheus.Registry) gathering {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(gathering)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

// requireGathered waits until the metrics have these values: those of the database are kept for
// some seconds.
func requireGathered(t testing.TB, registry *prometheus.Registry, want gathering) gathering {
	t.Helper()
	var got gathering
	await(t, "what it should be: "+fmt.Sprint(want), func() bool {
		got = gather(t, registry)
		for name, value := range want {
			if v, ok := got[name]; !ok || v != value {
				return false
			}
		}
		return true
	})
	return got
}

// TestBacklogGauges: pending deliveries are counted, by whether their endpoints get events now.
func TestBacklogGauges(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	registry := prometheus.NewRegistry()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent, Metrics: registry})
	requireGathered(t, registry, gathering{
		"webhook_endpoints ENABLED": 0, "webhook_endpoints DISABLED": 0, "webhook_deliveries_pending ENABLED": 0,
		"webhook_oldest_undelivered_seconds ENABLED": 0, "webhook_positions_behind DISABLED": 0,
	})
	first, _, err := l.Webhooks.Create(ctx, webhook.Params{URL: "https://a.test/"})
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := l.Webhooks.Create(ctx, webhook.Params{URL: "https://b.test/"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Webhooks.Update(ctx, webhook.Change{ID: second.ID, URL: second.URL, Disabled: true}); err != nil {
		t.Fatal(err)
	}
	ledgertest.OpenAccounts(t, l, 3, 0)
	events, end, _, err := l.Events.Read(ctx, first.Cursor, 10)
	if err != nil || len(events) != 3 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	// Two of the three failed; the owner has come to the second.
	conn := ledgertest.Connect(t, database)
	for _, e := range events[:2] {
		ledgertest.Execute(t, conn, `INSERT INTO webhook_delivery (endpoint_id, position, account_id, attempts, next_attempt_time, last_attempt_time,
			last_failure) VALUES ($1, $2, $3, 1, ledger_now() + interval '1 hour', ledger_now(), 'no')`, first.ID, e.Position, e.Account.ID)
	}
	ledgertest.Execute(t, conn, `UPDATE webhook_endpoint SET cursor_position = $2 WHERE endpoint_id = $1`, first.ID, events[1].Position)
	ledgertest.Execute(t, conn, `SELECT pg_sleep(0.01)`) // so that the events have an age
	got := requireGathered(t, registry, gathering{
		"webhook_endpoints ENABLED": 1, "webhook_endpoints DISABLED": 1,
		"webhook_deliveries_pending ENABLED": 2, "webhook_deliveries_pending DISABLED": 0,
		"webhook_positions_behind ENABLED": float64(end - events[1].Position), "webhook_positions_behind DISABLED": float64(end - second.Cursor),
	})
	for _, status := range []string{"ENABLED", "DISABLED"} {
		if age := got["webhook_oldest_undelivered_seconds "+status]; age <= 0 || age > 600 {
			t.Errorf("the oldest event of %s endpoints is %v s old", status, age)
		}
	}
	if _, err := l.Webhooks.Delete(ctx, second.ID); err != nil {
		t.Fatal(err)
	}
	requireGathered(t, registry, gathering{"webhook_endpoints DISABLED": 0, "webhook_oldest_undelivered_seconds DISABLED": 0})
}

// TestProofGauges: the last proof is shown, of any server, and a broken one.
func TestProofGauges(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent, Metrics: registry})
	if got := requireGathered(t, registry, gathering{"ledger_database_up": 1, "ledger_last_proof_duration_seconds": 0}); got["ledger_last_proof_timestamp_seconds"] != 0 {
		t.Errorf("before the first proof: %v", got)
	}
	report, err := l.Proofs.Check(t.Context(), proof.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := requireGathered(t, registry, gathering{
		"ledger_last_proof_ok": 1, "ledger_last_proof_incremental": 0, "ledger_last_proof_timestamp_seconds": float64(report.Time.UnixMilli()) / 1000,
	})
	if got["ledger_last_proof_duration_seconds"] <= 0 {
		t.Errorf("the proof took %v s", got["ledger_last_proof_duration_seconds"])
	}
	if _, err := l.Proofs.Check(t.Context(), proof.Options{Incremental: true}); err != nil {
		t.Fatal(err)
	}
	requireGathered(t, registry, gathering{"ledger_last_proof_ok": 1, "ledger_last_proof_incremental": 1})
	// Another server's proof, of a ledger that an operator has broken.
	admin := ledgertest.Connect(t, database)
	const damage = `UPDATE account SET balance = balance %s 1 WHERE account_id = (SELECT equity_account_id FROM currency WHERE code = 'USD')`
	ledgertest.Execute(t, admin, strings.Replace(damage, "%s", "+", 1))
	other, err := postgres.Open(t.Context(), postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Proofs.Check(t.Context(), proof.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	requireGathered(t, registry, gathering{"ledger_last_proof_ok": 0})
	ledgertest.Execute(t, admin, strings.Replace(damage, "%s", "-", 1))
}

// TestHorizonGauges: a transaction that holds all readers up is shown, and how much it holds back.
func TestHorizonGauges(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent, Metrics: registry})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	still := gathering{"ledger_event_horizon_lag_positions": 0, "ledger_event_horizon_wait_seconds": 0}
	requireGathered(t, registry, still)
	admin := ledgertest.Connect(t, database)
	ledgertest.Execute(t, admin, "BEGIN")
	ledgertest.Execute(t, admin, "LOCK TABLE transfer IN ROW EXCLUSIVE MODE")
	for range 3 {
		p := ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)}
		if _, _, err := l.Transfer(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if got := requireGathered(t, registry, gathering{"ledger_event_horizon_lag_positions": 3}); got["ledger_event_horizon_wait_seconds"] <= 0 {
		t.Errorf("no reader waits: %v", got)
	}
	ledgertest.Execute(t, admin, "ROLLBACK")
	requireGathered(t, registry, still)
}

// TestGaugesAreCheap: however many scrape, one of them queries the database, now and then.
func TestGaugesAreCheap(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	l := ledgertest.Open(t, postgres.Config{Logger: ledgertest.Silent, Metrics: registry, ReadConns: 3, BatchesInFlight: 2})
	ledgertest.OpenAccounts(t, l, 1, 0)
	before := requireGathered(t, registry, gathering{
		"ledger_database_up": 1, "ledger_db_connections_max read": 3, "ledger_db_connections_max write": 2,
		"ledger_db_connections write acquired": 0, "ledger_db_connections write constructing": 0,
	})
	if before["ledger_db_connections write idle"] < 1 || before["ledger_db_acquires_total write"] < 1 {
		t.Errorf("an account was opened without a connection: %v", before)
	}
	began := time.Now()
	var scrapes sync.WaitGroup
	for range 200 {
		scrapes.Go(func() {
			if _, err := registry.Gather(); err != nil {
				t.Error(err)
			}
		})
	}
	scrapes.Wait()
	rounds := 2 + time.Since(began).Seconds()/2
	after := gather(t, registry)
	if asked := after["ledger_db_acquires_total read"] - before["ledger_db_acquires_total read"]; asked > 10*rounds {
		t.Errorf("the database was asked %v questions for 200 scrapes in %s", asked, time.Since(began))
	}
}

// TestGaugesWithoutDatabase: while the database is away, a scrape soon returns what does not need
// it.
func TestGaugesWithoutDatabase(t *testing.T) {
	t.Parallel()
	database := pgtest.NewServer(t)
	registry := prometheus.NewRegistry()
	l, err := postgres.Open(t.Context(), postgres.Config{DatabaseURL: database.URL(), Logger: ledgertest.Silent, Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(t.Context()) })
	requireGathered(t, registry, gathering{"ledger_database_up": 1, "webhook_endpoints ENABLED": 0})
	if err := database.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := requireGathered(t, registry, gathering{"ledger_database_up": 0, "ledger_queue_depth": 0, "ledger_db_connections_max read": 8, "ledger_event_followers": 0})
	if _, ok := got["webhook_endpoints ENABLED"]; ok {
		t.Errorf("unknown values are shown: %v", got)
	}
	began := time.Now()
	gather(t, registry)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a scrape took %s", took)
	}
}
