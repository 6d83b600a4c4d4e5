package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
	"internaltransfers/ledger"
	"internaltransfers/server"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// A fixture is a server on a ledger and a port of its own.
type fixture struct {
	ledger   *postgres.Ledger
	database string // its URL, of a fixture from newFixture
	server   *server.Server
	url      string
	http1    *http.Client
	http2    *http.Client // without TLS
	stop     func()       // begins to drain
	served   chan error
}

// newFixture starts a server on a fresh database. The test's end proves every invariant of the
// ledger, then drains.
func newFixture(t *testing.T, config server.Config) *fixture {
	t.Helper()
	database := pgtest.NewDatabase(t)
	config.Ledger = openLedger(t, postgres.Config{DatabaseURL: database})
	f := serve(t, config)
	f.database = database
	return f
}

func openLedger(t *testing.T, config postgres.Config) *postgres.Ledger {
	t.Helper()
	config.Logger = slog.New(slog.DiscardHandler)
	l, err := postgres.Open(context.Background(), config)
	if err != nil {
		t.Fatalf("open the ledger: %v", err)
	}
	t.Cleanup(func() {
		requireSound(t, l)
		if err := l.Close(context.Background()); err != nil {
			t.Errorf("close the ledger: %v", err)
		}
	})
	return l
}

func requireSound(t *testing.T, l *postgres.Ledger) {
	t.Helper()
	report, err := l.Proofs.Check(context.Background(), proof.Options{})
	// After connections were cut off each of them fails once, and each failure takes one out of the
	// pool.
	for try := 0; errors.Is(err, ledger.ErrUnavailable) && try < 10; try++ {
		report, err = l.Proofs.Check(context.Background(), proof.Options{})
	}
	if err != nil {
		t.Errorf("check the ledger: %v", err)
		return
	}
	for i := range report.Invariants {
		if report.Invariants[i].ViolationCount != 0 {
			t.Errorf("invariant broken: %s", &report.Invariants[i])
		}
	}
}

func serve(t *testing.T, config server.Config) *fixture {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.AllowedHosts = append(config.AllowedHosts, "example.com") // of httptest.NewRequest
	s, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &fixture{
		ledger: config.Ledger,
		server: s,
		url:    "http://" + listener.Addr().String(),
		http1:  newClient(func(p *http.Protocols) { p.SetHTTP1(true) }),
		http2:  newClient(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
		stop:   cancel,
		served: make(chan error, 1),
	}
	go func() { f.served <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		f.http1.CloseIdleConnections()
		f.http2.CloseIdleConnections() // or draining would wait a second for the client to close them
		cancel()
		if err := <-f.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return f
}

func newClient(set func(*http.Protocols)) *http.Client {
	protocols := new(http.Protocols)
	set(protocols)
	return &http.Client{Transport: &http.Transport{Protocols: protocols, MaxIdleConnsPerHost: 16}, Timeout: time.Minute}
}

// A reply is an HTTP response without its body.
type reply struct {
	StatusCode int
	Header     http.Header
}

// send makes a raw HTTP/1.1 request and returns its response and the response's body.
func (f *fixture) send(t *testing.T, method, path, body string, header ...string) (reply, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := f.http1.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: read the response: %v", method, path, err)
	}
	return reply{res.StatusCode, res.Header}, string(text)
}

// counts returns the number of accounts, transfers and currencies, to see that a refused request
// left nothing.
func (f *fixture) counts(t *testing.T) (n [3]int) {
	t.Helper()
	c := f.protocol(t, "connect+proto")
	page := int32(1000)
	n[0] = len(mustCall(t, c, "AccountService/ListAccounts", &transfersv1.ListAccountsRequest{PageSize: page}, &transfersv1.ListAccountsResponse{}).GetAccounts())
	n[1] = len(mustCall(t, c, "TransferService/ListTransfers", &transfersv1.ListTransfersRequest{PageSize: page}, &transfersv1.ListTransfersResponse{}).GetTransfers())
	n[2] = len(mustCall(t, c, "LedgerService/ListCurrencies", &transfersv1.ListCurrenciesRequest{PageSize: page}, &transfersv1.ListCurrenciesResponse{}).GetCurrencies())
	return n
}

// mustCall fails the test if the call does.
func mustCall[Res proto.Message](t *testing.T, c client, method string, req proto.Message, res Res) Res {
	t.Helper()
	if _, err := c.call(t.Context(), method, req, res); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return res
}
