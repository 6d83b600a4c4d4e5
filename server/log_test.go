package server_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/server"
)

// A logged line, as a machine reads it.
type logged map[string]any

// logLines are the lines of a log, as they are written.
type logLines chan string

// Write implements io.Writer: slog writes a line at a time.
func (l logLines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// next waits for the next line with these attributes.
func (l logLines) next(t *testing.T, want logged) logged {
	t.Helper()
	var seen []string
	for patience := time.After(time.Minute); ; {
		var line logged
		select {
		case text := <-l:
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatal(err)
			}
			seen = append(seen, text)
		case <-patience:
			t.Fatalf("there is no line with %v, only\n%s", want, strings.Join(seen, ""))
		}
		fits := true
		for key, value := range want {
			fits = fits && line[key] == value
		}
		if fits {
			return line
		}
	}
}

func newLogged(t *testing.T) (*fixture, logLines) {
	t.Helper()
	lines := make(logLines, 10_000)
	return serve(t, server.Config{
		Ledger: openLedger(t, postgres.Config{DatabaseURL: pgtest.NewDatabase(t), Heartbeat: 20 * time.Millisecond}),
		Logger: slog.New(slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}), lines
}

// requireLogged fails the test unless the line has these attributes, and those that every call has.
func requireLogged(t *testing.T, line, want logged) {
	t.Helper()
	for key, value := range want {
		if line[key] != value {
			t.Errorf("the line has %s %v, want %v: %v", key, line[key], value, line)
		}
	}
	for _, key := range []string{"duration", "peer", "request_id"} {
		if line[key] == nil || line[key] == "" {
			t.Errorf("the line has no %s: %v", key, line)
		}
	}
	if peer, _ := line["peer"].(string); !strings.HasPrefix(peer, "127.0.0.1:") {
		t.Errorf("the line has the peer %q", peer)
	}
}

// TestRefusalsAreLogged: the log has why a call was refused, which accounts and transfer it is
// about, and the caller, whatever the protocol.
func TestRefusalsAreLogged(t *testing.T) {
	t.Parallel()
	f, lines := newLogged(t)
	a, b := open(t, f.protocol(t, "grpc"), "10"), open(t, f.protocol(t, "grpc"), "")
	for _, protocol := range []struct{ name, logged string }{{"connect+proto", "connect"}, {"grpc", "grpc"}, {"grpc-web", "grpcweb"}, {"rest", "rest"}} {
		c := f.protocol(t, protocol.name)
		req := transferRequest(a, b, "50")
		_, _ = c.call(t.Context(), "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
		line := lines.next(t, logged{"msg": "call", "code": "failed_precondition"})
		requireLogged(t, line, logged{
			"level": "INFO", "protocol": protocol.logged, "procedure": transfersv1connect.TransferServiceCreateTransferProcedure,
			"reason": "INSUFFICIENT_FUNDS", "transfer_id": req.GetTransferId(), "from_account_id": a.GetAccountId(), "to_account_id": b.GetAccountId(),
		})
		nobody := uuid.NewString()
		_, _ = c.call(t.Context(), "AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: nobody}, &transfersv1.GetAccountResponse{})
		line = lines.next(t, logged{"msg": "call", "code": "not_found"})
		requireLogged(t, line, logged{"level": "INFO", "protocol": protocol.logged, "reason": "ACCOUNT_NOT_FOUND", "account_id": nobody})
	}

	nobody := uuid.NewString()
	f.send(t, http.MethodGet, "/api/v1/accounts/"+nobody+"/statement.csv?start_time=2020-01-01T00:00:00Z", "")
	line := lines.next(t, logged{"msg": "call", "code": "not_found"})
	requireLogged(t, line, logged{
		"level": "INFO", "protocol": "rest", "procedure": transfersv1connect.AccountServiceExportStatementProcedure,
		"reason": "ACCOUNT_NOT_FOUND", "account_id": nobody,
	})
	f.send(t, http.MethodGet, "/api/v1/nothing", "")
	requireLogged(t, lines.next(t, logged{"msg": "request"}), logged{"level": "INFO", "status": 404.0, "reason": "ROUTE_NOT_FOUND"})
	f.send(t, http.MethodGet, "/api/v1/accounts?page_size=many", "")
	requireLogged(t, lines.next(t, logged{"msg": "request"}), logged{"level": "INFO", "status": 400.0, "reason": "INVALID_ARGUMENT"})
	// gRPC's refusals have the HTTP status 200.
	host, ours := elsewhere{f.http2.Transport, "evil.example"}, f.http2.Transport
	f.http2.Transport = host
	_, _ = f.protocol(t, "grpc").call(t.Context(), "AccountService/GetAccount", &transfersv1.GetAccountRequest{}, &transfersv1.GetAccountResponse{})
	f.http2.Transport = ours
	requireLogged(t, lines.next(t, logged{"msg": "request"}), logged{"level": "INFO", "status": 200.0, "reason": "HOST_REFUSED"})
	// What a caller writes is a value, never a line or an attribute of its own.
	f.send(t, http.MethodGet, "/api/v1/%0Alevel=ERROR", "", "X-Request-Id", `1" level=ERROR msg="stolen`)
	requireLogged(t, lines.next(t, logged{"msg": "request"}), logged{
		"level": "INFO", "path": "/api/v1/\nlevel=ERROR", "request_id": `1" level=ERROR msg="stolen`,
	})
}

// TestCanceledCallsAreNoNews: each tab that is closed ends a stream, which gets a line only at the
// debug level.
func TestCanceledCallsAreNoNews(t *testing.T) {
	t.Parallel()
	f, lines := newLogged(t)
	for _, protocol := range []string{"connect+proto", "grpc", "grpc-web"} {
		w := watchLogged(t, f, protocol)
		w.next() // it is open
		w.drop()
		line := lines.next(t, logged{"msg": "call", "procedure": transfersv1connect.LedgerServiceWatchTransfersProcedure})
		requireLogged(t, line, logged{"level": "DEBUG", "code": "canceled"})
	}
}

// TestBodiesThatBreakOffAreNoNews: so does a tab that is closed while it sends.
func TestBodiesThatBreakOffAreNoNews(t *testing.T) {
	t.Parallel()
	f, lines := newLogged(t)
	for _, path := range []string{"/api/v1/accounts", "/transfers.v1.AccountService/CreateAccount"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", path)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		requireLogged(t, lines.next(t, logged{"msg": "request", "path": path}), logged{"level": "DEBUG", "reason": "CANCELED"})
	}
}

// TestStreamsThatAServerEndsAreNoErrors: a rolling restart with a thousand readers does not write a
// thousand errors.
func TestStreamsThatAServerEndsAreNoErrors(t *testing.T) {
	t.Parallel()
	f, lines := newLogged(t)
	w := watchLogged(t, f, "grpc")
	w.next() // it is open
	f.stop()
	if failed := w.end(); failed.Code() != connect.CodeUnavailable {
		t.Errorf("the stream ended with %v", failed)
	}
	line := lines.next(t, logged{"msg": "call", "procedure": transfersv1connect.LedgerServiceWatchTransfersProcedure})
	requireLogged(t, line, logged{"level": "INFO", "code": "unavailable", "reason": "SHUTTING_DOWN"})
}

func watchLogged(t *testing.T, f *fixture, protocol string) *watcher[transfersv1.WatchTransfersResponse] {
	t.Helper()
	return watchOver[transfersv1.WatchTransfersRequest, transfersv1.WatchTransfersResponse](
		t, f.protocol(t, protocol).(*rpcClient), "LedgerService/WatchTransfers", &transfersv1.WatchTransfersRequest{})
}
