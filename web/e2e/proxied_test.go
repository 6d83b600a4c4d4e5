package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
)

// TestAPIBehindProxies: every way to call the ledger works through nginx and HAProxy as they are by
// default, and a stream sends events as they happen.
func TestAPIBehindProxies(t *testing.T) {
	t.Parallel()
	s := serve(t, "--base-path=/ledger")
	for _, start := range []func(*testing.T, *server) *proxy{startNginx, startHAProxy} {
		p := start(t, s)
		t.Run(p.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), *waitMax)
			defer cancel()
			for _, under := range p.paths {
				p.callsWork(ctx, t, under)
			}
			p.exportIsWhole(ctx, t, s)
			p.grpcWorks(ctx, t, s)
		})
	}
}

// callsWork makes calls and follows streams over Connect, gRPC-Web and REST.
func (p *proxy) callsWork(ctx context.Context, t *testing.T, under string) {
	t.Helper()
	for name, options := range map[string][]connect.ClientOption{
		"Connect": nil, "Connect in JSON": {connect.WithProtoJSON()}, "gRPC-Web": {connect.WithGRPCWeb()},
	} {
		accounts := transfersv1connect.NewAccountServiceClient(http.DefaultClient, p.url(under, ""), options...)
		ledger := transfersv1connect.NewLedgerServiceClient(http.DefaultClient, p.url(under, ""), options...)
		streamCtx, end := context.WithCancel(ctx)
		stream, err := ledger.WatchTransfers(streamCtx, &transfersv1.WatchTransfersRequest{})
		if err != nil || !stream.Receive() || len(stream.Msg().GetEvents()) != 0 {
			t.Fatalf("%s at %q: the stream does not begin: %v, %v", name, under, err, stream)
		}
		account, err := accounts.CreateAccount(ctx, &transfersv1.CreateAccountRequest{InitialBalance: "3"})
		if err != nil {
			t.Fatalf("%s at %q: %v", name, under, err)
		}
		if !stream.Receive() || stream.Msg().GetEvents()[0].GetTransfer().GetToAccountId() != account.GetAccount().GetAccountId() {
			t.Errorf("%s at %q: the stream sends %v, %v", name, under, stream.Msg(), stream.Err())
		}
		end()
		_ = stream.Close() // it was left
		_, err = accounts.GetAccount(ctx, &transfersv1.GetAccountRequest{AccountId: uuid.NewString()})
		if connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("%s at %q: %v", name, under, err)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url(under, "/api/v1/accounts"), strings.NewReader(`{"initialBalance": 4}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if status, body := send(t, r); status != http.StatusOK || !strings.Contains(body, `"balance":"4.00"`) {
		t.Errorf("REST at %q: %d %s", under, status, body)
	}
}

func send(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// exportIsWhole downloads a statement and compares it with the server's own, without a proxy.
func (p *proxy) exportIsWhole(ctx context.Context, t *testing.T, s *server) {
	t.Helper()
	from, to := s.account(t, "Payer", "5000"), s.account(t, "Payee", "")
	batch := &transfersv1.BatchCreateTransfersRequest{}
	for i := range 2000 {
		batch.Transfers = append(batch.Transfers, &transfersv1.CreateTransferRequest{
			FromAccountId: from, ToAccountId: to, Amount: "1", Reference: fmt.Sprint("line ", i),
		})
	}
	if _, err := s.transfers.BatchCreateTransfers(ctx, batch); err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/accounts/" + from + "/statement.csv?position=2001&start_time=2020-01-01T00:00:00Z&end_time=" +
		time.Now().UTC().Format(time.RFC3339Nano)
	var files []string
	for _, address := range []string{s.url(path), p.url("", path)} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		status, body := send(t, r)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", address, status, body)
		}
		files = append(files, body)
	}
	if files[0] != files[1] || strings.Count(files[1], "\n") != 2004 || !strings.Contains(files[1], "closing_balance") {
		t.Errorf("the file has %d lines through the proxy, and %d without", strings.Count(files[1], "\n"), strings.Count(files[0], "\n"))
	}
}

// grpcWorks calls with Google's client for gRPC, with all its defaults.
func (p *proxy) grpcWorks(ctx context.Context, t *testing.T, s *server) {
	t.Helper()
	conn, err := grpc.NewClient(p.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // nothing is sent any more
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/transfers.v1.LedgerService/WatchTransfers")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&transfersv1.WatchTransfersRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var first, second transfersv1.WatchTransfersResponse
	if err := stream.RecvMsg(&first); err != nil || len(first.GetEvents()) > 0 {
		t.Fatalf("gRPC: the stream begins with %v, %v", &first, err)
	}
	var created transfersv1.CreateAccountResponse
	if err := conn.Invoke(ctx, "/transfers.v1.AccountService/CreateAccount",
		&transfersv1.CreateAccountRequest{InitialBalance: "5"}, &created); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&second); err != nil || len(second.GetEvents()) == 0 ||
		second.GetEvents()[0].GetTransfer().GetToAccountId() != created.GetAccount().GetAccountId() {
		t.Errorf("gRPC: the stream sends %v, %v", &second, err)
	}
	// An error comes in headers, which proxies bound.
	wrong := &transfersv1.GetProfilesRequest{}
	for range 100 {
		wrong.AccountIds = append(wrong.AccountIds, "no id")
	}
	err = conn.Invoke(ctx, "/transfers.v1.AccountService/GetProfiles", wrong, &transfersv1.GetProfilesResponse{})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "account_ids[0]") {
		t.Errorf("gRPC: a wrong request: %v", err)
	}
	// gRPC where the proxy speaks HTTP/1 to the server is an error before anything happens.
	id := uuid.NewString()
	plain := transfersv1connect.NewAccountServiceClient(http.DefaultClient, p.url("", ""), connect.WithGRPC())
	if _, err := plain.CreateAccount(ctx, &transfersv1.CreateAccountRequest{AccountId: id}); err == nil {
		t.Error("gRPC over HTTP/1 is served")
	}
	_, err = s.accounts.GetAccount(ctx, &transfersv1.GetAccountRequest{AccountId: id})
	if connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("gRPC over HTTP/1 opened an account: %v", err)
	}
}

// TestConsoleBehindProxies: the console and the API reference are whole under every path, also when
// a page is reloaded, and live.
func TestConsoleBehindProxies(t *testing.T) {
	t.Parallel()
	s := serve(t, "--base-path=/ledger")
	ada, grace := s.account(t, "Ada Lovelace", "100"), s.account(t, "Grace Hopper", "")
	nginx, haproxy := startNginx(t, s), startHAProxy(t, s)
	for _, c := range []struct {
		proxy *proxy
		under string
	}{{nginx, ""}, {nginx, "/stripped"}, {nginx, "/ledger"}, {haproxy, "/stripped"}} {
		t.Run(c.proxy.name+c.under, func(t *testing.T) {
			p := newPage(t, c.proxy.web)
			p.open(c.under) // without a slash at its end
			p.click(pageLink("Transfers"))
			p.says("Live")
			p.remember()
			reference := uuid.NewString()
			s.transfer(t, &transfersv1.CreateTransferRequest{FromAccountId: ada, ToAccountId: grace, Amount: "1", Reference: reference})
			p.has(row(reference))
			p.click(pageLink("Accounts"))
			p.click(link("Ada Lovelace"))
			p.has(heading("Ada Lovelace"))
			p.waitFor("the path in the address", fmt.Sprintf("location.pathname === %q", c.under+"/accounts/"+ada))
			p.remembers()
			p.reload()
			p.has(heading("Ada Lovelace"), link("CSV"))
			p.sees("Grace Hopper")
			const download = `fetch([...document.querySelectorAll("a")].find((a) => a.innerText.trim() === "CSV").href).then((r) => r.text())`
			if file := evaluate[string](p, download); !strings.Contains(file, "closing_balance") {
				t.Errorf("the statement is %s", file)
			}
			p.click(link("API reference"))
			p.waitFor("the routes", "document.querySelector('#operations-LedgerService-LedgerService_ListCurrencies')")
			p.waitFor("the path in the address", fmt.Sprintf("location.pathname === %q", c.under+"/docs"))
		})
	}
}

// TestConsoleBehindABufferingProxy: a proxy that keeps streams back, whatever the response's
// headers, makes the console slower and not empty.
func TestConsoleBehindABufferingProxy(t *testing.T) {
	t.Parallel()
	s := serve(t)
	ada, grace := s.account(t, "Ada Lovelace", "100"), s.account(t, "Grace Hopper", "")
	pay := func(reference string) {
		s.transfer(t, &transfersv1.CreateTransferRequest{FromAccountId: ada, ToAccountId: grace, Amount: "1", Reference: reference})
	}
	pay("before")
	p := newPage(t, startNginx(t, s).mute)
	p.open("/transfers")
	p.has(row("before"))
	pay("after")
	p.has(row("after"), row("before"))
	p.says("Connecting")
}
