package server_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"github.com/jackc/pgx/v5"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/server"
)

// awaitReadiness probes until this response comes. A result is reused for a moment.
func (f *fixture) awaitReadiness(t *testing.T, path string, status int, body string) {
	t.Helper()
	for began := time.Now(); ; {
		res, text := f.send(t, http.MethodGet, path, "")
		if res.StatusCode == status && strings.TrimSpace(text) == body {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%s: %d %s, want %d %s", path, res.StatusCode, text, status, body)
		}
	}
}

const (
	isReady  = `{"status":"ok"}`
	readOnly = `{"status":"unavailable","reason":"the database is not available: it is read-only"}`
	noRight  = `{"status":"unavailable","reason":"the database is not available: its role lacks a right that the ledger needs"}`
)

// requireHealth fails the test unless the gRPC health service reports the same for writes and
// reads.
func requireHealth(t *testing.T, f *fixture, write, read grpchealth.Status) {
	t.Helper()
	health := grpchealth.NewClient(f.http2, f.url, connect.WithGRPC())
	for service, want := range map[string]grpchealth.Status{
		"": write, "ready.write": write, "transfers.v1.TransferService": write, "transfers.v1.LedgerService": write, "ready.read": read,
	} {
		got, err := health.Check(t.Context(), &grpchealth.CheckRequest{Service: service})
		if err != nil || got.Status != want {
			t.Errorf("health of %q: %v %v, want %v", service, got, err, want)
		}
	}
}

// connectTo opens a session of the test's own.
func connectTo(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Superuser(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// endSessions makes all but the test reconnect.
const endSessions = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`

// TestReadyWhileReadOnly: a database that takes no writes, by a setting of its own, makes the
// server unready for writes and not for reads. The error of a write has the reason, and nothing of
// the driver's text.
func TestReadyWhileReadOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	admin := connectTo(t, f.database)
	a, b := open(t, f.protocol(t, "grpc"), "10"), open(t, f.protocol(t, "grpc"), "")
	f.awaitReadiness(t, "/readycheck", http.StatusOK, isReady)
	requireHealth(t, f, grpchealth.StatusServing, grpchealth.StatusServing)

	name := admin.Config().Database
	execute(t, admin, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	execute(t, admin, endSessions)
	f.awaitReadiness(t, "/readycheck", http.StatusServiceUnavailable, readOnly)
	f.awaitReadiness(t, "/readycheck?for=write", http.StatusServiceUnavailable, readOnly)
	f.awaitReadiness(t, "/readycheck?for=read", http.StatusOK, isReady)
	requireHealth(t, f, grpchealth.StatusNotServing, grpchealth.StatusServing)
	protocols := []string{"grpc", "connect+json", "rest"}
	failures := make([]*connect.Error, len(protocols))
	var writes sync.WaitGroup // each is tried again for some seconds
	for i, c := range protocols {
		c := f.protocol(t, c)
		writes.Go(func() {
			_, failures[i] = c.call(t.Context(), "TransferService/CreateTransfer", transferRequest(a, b, "1"), &transfersv1.CreateTransferResponse{})
		})
	}
	writes.Wait()
	for _, failed := range failures {
		requireInfo(t, failed, connect.CodeUnavailable, "DATABASE_UNAVAILABLE")
		if text := failed.Message(); !strings.Contains(text, "the database is not available: it is read-only; ") || strings.Contains(text, "SQLSTATE") {
			t.Errorf("a write: %v", failed)
		}
	}
	got := mustCall(t, f.protocol(t, "grpc"), "AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: a.GetAccountId()}, &transfersv1.GetAccountResponse{})
	if got.GetAccount().GetBalance() != "10.00" {
		t.Errorf("a read: %v", got)
	}

	execute(t, admin, "SET default_transaction_read_only = off")
	execute(t, admin, "ALTER DATABASE "+name+" RESET default_transaction_read_only")
	execute(t, admin, endSessions)
	f.awaitReadiness(t, "/readycheck", http.StatusOK, isReady)
	mustCall(t, f.protocol(t, "grpc"), "TransferService/CreateTransfer", transferRequest(a, b, "1"), &transfersv1.CreateTransferResponse{})
}

// TestReadyWithoutRights: a role that has lost a right is an operator's mistake. The server shows
// it in its readiness, and to callers as a transient error, not as an internal one.
func TestReadyWithoutRights(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	admin := connectTo(t, database)
	const role = localpg.Writer // its rights to this database alone are changed
	f := serve(t, server.Config{Ledger: openLedger(t, postgres.Config{DatabaseURL: database})})
	c := f.protocol(t, "grpc")
	a, b := open(t, c, "10"), open(t, c, "")
	f.awaitReadiness(t, "/readycheck", http.StatusOK, isReady)

	for _, right := range []string{"INSERT ON transfer", "UPDATE ON account"} {
		execute(t, admin, "REVOKE "+right+" FROM "+role)
		f.awaitReadiness(t, "/readycheck", http.StatusServiceUnavailable, noRight)
		f.awaitReadiness(t, "/readycheck?for=read", http.StatusOK, isReady)
		_, err := c.call(t.Context(), "TransferService/CreateTransfer", transferRequest(a, b, "1"), &transfersv1.CreateTransferResponse{})
		requireInfo(t, err, connect.CodeUnavailable, "DATABASE_UNAVAILABLE")
		if text := err.Error(); !strings.Contains(text, "its role lacks a right") || strings.Contains(text, "permission") {
			t.Errorf("a write without %s: %v", right, err)
		}
		execute(t, admin, "GRANT "+right+" TO "+role)
		f.awaitReadiness(t, "/readycheck", http.StatusOK, isReady)
	}
	execute(t, admin, "REVOKE SELECT ON account FROM "+role)
	f.awaitReadiness(t, "/readycheck?for=read", http.StatusServiceUnavailable, noRight)
	_, failed := c.call(t.Context(), "AccountService/ListAccounts", &transfersv1.ListAccountsRequest{}, &transfersv1.ListAccountsResponse{})
	requireInfo(t, failed, connect.CodeUnavailable, "DATABASE_UNAVAILABLE")
	execute(t, admin, "GRANT SELECT ON account TO "+role)
	f.awaitReadiness(t, "/readycheck?for=read", http.StatusOK, isReady)
}

func TestReadyForSomethingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	res, text := f.send(t, http.MethodGet, "/readycheck?for=lunch", "")
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(text, "for must be write") {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}

// TestHealthWatch: a watching client gets each change, and the end. Draining does not wait for it.
func TestHealthWatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{DrainTimeout: time.Minute})
	admin := connectTo(t, f.database)
	name := admin.Config().Database
	health := grpchealth.NewClient(f.http2, f.url, connect.WithGRPC())
	events := health.Watch(t.Context(), &grpchealth.CheckRequest{Service: "transfers.v1.TransferService"})
	reads := health.Watch(t.Context(), &grpchealth.CheckRequest{Service: "ready.read"})
	require := func(events <-chan grpchealth.WatchEvent, want grpchealth.Status) {
		t.Helper()
		event, ok := <-events
		if !ok || event.Err != nil || event.Response.Status != want {
			t.Fatalf("%v %+v, want %v", ok, event, want)
		}
	}
	require(events, grpchealth.StatusServing)
	require(reads, grpchealth.StatusServing)
	execute(t, admin, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	execute(t, admin, endSessions)
	require(events, grpchealth.StatusNotServing)
	execute(t, admin, "SET default_transaction_read_only = off")
	execute(t, admin, "ALTER DATABASE "+name+" RESET default_transaction_read_only")
	execute(t, admin, endSessions)
	require(events, grpchealth.StatusServing)
	if unknown := <-health.Watch(t.Context(), &grpchealth.CheckRequest{Service: "nonsense"}); connect.CodeOf(unknown.Err) != connect.CodeNotFound {
		t.Errorf("an unknown service: %+v", unknown)
	}
	f.stop()
	for _, watched := range []<-chan grpchealth.WatchEvent{events, reads} {
		last, ended := grpchealth.StatusUnknown, false
		for event := range watched {
			if event.Err != nil {
				ended = true
				break
			}
			last = event.Response.Status
		}
		if last != grpchealth.StatusNotServing || ended {
			t.Errorf("at the end: %v, with an error: %v", last, ended)
		}
	}
}
