package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
	"internaltransfers/ledger"
	"internaltransfers/server"

	"internaltransfers/internal/pgtest"
)

// raw sends the bytes of a request as a proxy might write it, and returns the connection.
func (f *fixture) raw(t *testing.T, lines ...string) *bufio.Reader {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the test no longer needs it
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(conn)
}

// A rawAnswer is a response whose body can still be read.
type rawAnswer struct {
	StatusCode int
	Header     http.Header
	Length     int64 // of the body; -1: it is not stated
	Close      bool  // the connection ends with the body
	Body       io.Reader
}

// answer reads the head of a response.
func answer(t *testing.T, r *bufio.Reader) rawAnswer {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() }) // it was read, or left
	return rawAnswer{res.StatusCode, res.Header, res.ContentLength, res.Close, res.Body}
}

// TestRequestsAsProxiesWriteThem: the changes that nginx, HAProxy and their like make to a request
// do not matter.
func TestRequestsAsProxiesWriteThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{AllowedHosts: []string{"ledger.example", "upstream", "x"}})
	const body = `{"initialBalance": 5}`
	length := "Content-Length: " + strconv.Itoa(len(body))
	for name, c := range map[string]struct {
		lines []string
		want  string // in the body
	}{
		"nginx, HTTP/1.0": {[]string{
			"POST /api/v1/accounts HTTP/1.0", "Host: 127.0.0.1:9091", "Connection: close", "Content-Type: application/json", length, "", body,
		}, `"balance":"5.00"`},
		"no Host": {[]string{"GET /healthcheck HTTP/1.0", "", ""}, "ok"},
		"another Host": {[]string{
			"GET /api/v1/currencies HTTP/1.1", "Host: ledger.example", "Connection: close", "", "",
		}, `"USD"`},
		"forwarded": {[]string{
			"POST /transfers.v1.AccountService/CreateAccount HTTP/1.1", "Host: upstream", "X-Forwarded-For: 203.0.113.7, 10.0.0.1",
			"X-Forwarded-Proto: https", "X-Forwarded-Host: ledger.example", "X-Forwarded-Prefix: /ledger", "X-Real-IP: 203.0.113.7",
			`Forwarded: for="[2001:db8::1]";proto=https`, "Via: 1.1 proxy", "Connection: close", "Content-Type: application/json", length, "", body,
		}, `"balance":"5.00"`},
		"absolute form": {[]string{
			"POST http://ledger.example/api/v1/accounts HTTP/1.1", "Host: ledger.example", "Connection: close",
			"Content-Type: application/json", length, "", body,
		}, `"balance":"5.00"`},
		"absolute form, RPC": {[]string{
			"GET https://ledger.example/transfers.v1.LedgerService/ListCurrencies?encoding=json&message=%7B%7D&connect=v1 HTTP/1.1",
			"Host: ledger.example", "Connection: close", "", "",
		}, `"USD"`},
	} {
		res := answer(t, f.raw(t, c.lines...))
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(text), c.want) || !res.Close {
			t.Errorf("%s: %d %s, %v", name, res.StatusCode, text, err)
		}
	}
	for _, target := range []string{"GET http://ledger.example", "GET http://ledger.example?a=b", "OPTIONS *", "CONNECT ledger.example:443", "GET /%2F%2F"} {
		res := answer(t, f.raw(t, target+" HTTP/1.1", "Host: ledger.example", "Accept: text/html", "Connection: close", "", ""))
		if _, err := io.ReadAll(res.Body); err != nil || res.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%s: %d, %v", target, res.StatusCode, err)
		}
	}
	// The client sends the body once the server requests it.
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, path := range []string{"/api/v1/accounts", "/transfers.v1.AccountService/CreateAccount"} {
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n%s\r\n\r\n", path, length)
		if res := answer(t, r); res.StatusCode != http.StatusContinue {
			t.Fatalf("%s: %d before the body", path, res.StatusCode)
		}
		fmt.Fprint(conn, body)
		res := answer(t, r)
		if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s, %v", path, res.StatusCode, text, err)
		}
	}
}

// TestHTTP10AnswersAreWhole: over HTTP/1.0, which nginx speaks to servers by default, a response
// ends where the connection does. One that is broken off must not look whole, so it states its
// length.
func TestHTTP10AnswersAreWhole(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	metadata := map[string]string{}
	for i := range 50 {
		metadata[strconv.Itoa(i)] = strings.Repeat("x", 500)
	}
	account, _, err := f.ledger.CreateAccount(t.Context(), ledger.AccountParams{Metadata: metadata})
	if err != nil {
		t.Fatal(err)
	}
	request, err := json.Marshal(map[string]string{"accountId": account.ID.String()})
	if err != nil {
		t.Fatal(err)
	}
	for name, lines := range map[string][]string{
		"REST": {"GET /api/v1/accounts/" + account.ID.String() + " HTTP/1.0", "", ""},
		"Connect": {
			"POST /transfers.v1.AccountService/GetAccount HTTP/1.0", "Content-Type: application/json",
			"Content-Length: " + strconv.Itoa(len(request)), "", string(request),
		},
		"console":  {"GET /assets/index.js HTTP/1.0", "", ""},
		"docs":     {"GET /docs/openapi.json HTTP/1.0", "", ""},
		"an error": {"GET /api/v1/accounts/" + uuid.NewString() + " HTTP/1.0", "", ""},
	} {
		res := answer(t, f.raw(t, lines...))
		text, err := io.ReadAll(res.Body)
		if err != nil || res.Length < 0 || int64(len(text)) != res.Length {
			t.Errorf("%s: %d bytes of %d, %v", name, len(text), res.Length, err)
		}
	}
	res := answer(t, f.raw(t, "HEAD /assets/index.js HTTP/1.0", "", ""))
	if res.StatusCode != http.StatusOK || res.Length < 1000 {
		t.Errorf("HEAD: %d, length %d", res.StatusCode, res.Length)
	}
}

// envelope returns a message of a stream of Connect or gRPC-Web.
func envelope(message string) string {
	return string([]byte{0, 0, 0, byte(len(message) >> 8), byte(len(message))}) + message
}

// readEnvelope reads the next message.
func readEnvelope(t *testing.T, r io.Reader) (flags byte, message []byte) {
	t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatal(err)
	}
	message = make([]byte, int(head[1])<<24|int(head[2])<<16|int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(r, message); err != nil {
		t.Fatal(err)
	}
	return head[0], message
}

// TestStreamsOverHTTP10: a stream begins at once, has the header that keeps proxies from buffering
// it, and goes on.
func TestStreamsOverHTTP10(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	request := envelope("{}")
	for _, contentType := range []string{"application/connect+json", "application/grpc-web+json"} {
		res := answer(t, f.raw(t, "POST /transfers.v1.LedgerService/WatchTransfers HTTP/1.0", "Host: localhost", "Connection: close",
			"Content-Type: "+contentType, "Content-Length: "+strconv.Itoa(len(request)), "", request))
		requireUnbuffered(t, contentType, res.Header)
		if flags, first := readEnvelope(t, res.Body); flags != 0 || !bytes.Contains(first, []byte(`"cursor"`)) {
			t.Fatalf("%s: the first message is %d %s", contentType, flags, first)
		}
		account, _, err := f.ledger.CreateAccount(t.Context(), ledger.AccountParams{InitialBalance: decimal.NewFromInt(7)})
		if err != nil {
			t.Fatal(err)
		}
		if _, second := readEnvelope(t, res.Body); !bytes.Contains(second, []byte(account.ID.String())) {
			t.Errorf("%s: the event is %s", contentType, second)
		}
	}
}

// requireUnbuffered fails the test when a response lacks the header that keeps proxies from
// buffering it.
func requireUnbuffered(t *testing.T, what string, header http.Header) {
	t.Helper()
	if header.Get("X-Accel-Buffering") != "no" || !slices.Contains(header.Values("Cache-Control"), "no-transform") {
		t.Errorf("%s: proxies may keep it back: %v", what, header)
	}
}

// TestStreamsTellProxies: every stream has the header that keeps proxies from buffering it, over
// each protocol.
func TestStreamsTellProxies(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	account, _, err := f.ledger.CreateAccount(t.Context(), ledger.AccountParams{})
	if err != nil {
		t.Fatal(err)
	}
	id, start := account.ID.String(), "2020-01-01T00:00:00Z"
	res, err := f.http1.Get(f.url + "/api/v1/accounts/" + id + "/statement.csv?start_time=" + start)
	if err != nil {
		t.Fatal(err)
	}
	requireUnbuffered(t, "CSV", res.Header)
	_ = res.Body.Close()
	for method, message := range map[string]string{
		"LedgerService/WatchTransfers":   `{}`,
		"AccountService/WatchAccount":    `{"accountId": "` + id + `"}`,
		"AccountService/StreamStatement": `{"accountId": "` + id + `", "startTime": "` + start + `"}`,
		"AccountService/ExportStatement": `{"accountId": "` + id + `", "startTime": "` + start + `"}`,
	} {
		for contentType, client := range map[string]*http.Client{
			"application/connect+json": f.http1, "application/grpc-web+json": f.http1, "application/grpc+json": f.http2,
		} {
			res, err := client.Post(f.url+"/transfers.v1."+method, contentType, strings.NewReader(envelope(message)))
			if err != nil {
				t.Fatal(err)
			}
			requireUnbuffered(t, method+" over "+contentType, res.Header)
			_ = res.Body.Close() // it is left
		}
	}
}

// TestStreamHeadersComeAtOnce: a stream's headers do not wait for its first message, which waits
// for the database.
func TestStreamHeadersComeAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	account, _, err := f.ledger.CreateAccount(t.Context(), ledger.AccountParams{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), pgtest.Superuser(f.database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }() // it has nothing to lose
	for method, message := range map[string]string{
		"LedgerService/WatchTransfers": `{}`, "AccountService/WatchAccount": `{"accountId": "` + account.ID.String() + `"}`,
	} {
		for contentType, client := range map[string]*http.Client{
			"application/connect+json": f.http1, "application/grpc-web+json": f.http1, "application/grpc+json": f.http2,
		} {
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), "LOCK TABLE transfer"); err != nil {
				t.Fatal(err)
			}
			res, err := client.Post(f.url+"/transfers.v1."+method, contentType, strings.NewReader(envelope(message)))
			if err != nil {
				t.Fatalf("%s over %s: %v", method, contentType, err)
			}
			requireUnbuffered(t, method+" over "+contentType, res.Header)
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if flags, first := readEnvelope(t, res.Body); flags != 0 || !bytes.Contains(first, []byte(`"cursor"`)) {
				t.Errorf("%s over %s: the first message is %d %s", method, contentType, flags, first)
			}
			_ = res.Body.Close() // it is left
		}
	}
}

// TestGRPCOverHTTP1: gRPC without HTTP/2, as with proxy_pass in the place of grpc_pass, loses the
// outcome on its way back. So it is refused before anything happens.
func TestGRPCOverHTTP1(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	id := uuid.NewString()
	client := transfersv1connect.NewAccountServiceClient(f.http1, f.url, connect.WithGRPC())
	if _, err := client.CreateAccount(t.Context(), &transfersv1.CreateAccountRequest{AccountId: id}); err == nil {
		t.Error("it is served")
	}
	for _, version := range []string{"1.0", "1.1"} {
		res := answer(t, f.raw(t, "POST /transfers.v1.AccountService/CreateAccount HTTP/"+version, "Host: localhost",
			"Content-Type: application/grpc", "Content-Length: 0", "", ""))
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusUpgradeRequired || !strings.Contains(string(text), "HTTP/2") {
			t.Errorf("HTTP/%s: %d %s, %v", version, res.StatusCode, text, err)
		}
	}
	notFound := new(ledger.NotFoundError)
	if _, err := f.ledger.GetAccount(t.Context(), uuid.MustParse(id)); !errors.As(err, &notFound) {
		t.Errorf("the account: %v", err)
	}
}

// TestNothingIsCached: no cache on the way may keep a response that is true of a moment only,
// including a refusal or a read that found nothing.
func TestNothingIsCached(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	account, _, err := f.ledger.CreateAccount(t.Context(), ledger.AccountParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, path, body string }{
		{http.MethodGet, "/api/v1/accounts/" + account.ID.String(), ""},
		{http.MethodGet, "/api/v1/transfers/" + account.ID.String(), ""},
		{http.MethodGet, "/api/v1/transfers?page_size=x", ""},
		{http.MethodGet, "/api/v1/nothing", ""},
		{http.MethodPost, "/api/v1/transfers", "{}"},
		{http.MethodPost, "/transfers.v1.AccountService/ListAccounts", "{}"},
		{http.MethodGet, `/transfers.v1.AccountService/ListAccounts?encoding=json&message={}`, ""},
	} {
		res, _ := f.send(t, c.method, c.path, c.body)
		if got := res.Header.Get("Cache-Control"); !strings.HasPrefix(got, "no-store") {
			t.Errorf("%s %s: %d, Cache-Control %q", c.method, c.path, res.StatusCode, got)
		}
	}
}
