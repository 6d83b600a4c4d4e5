package server_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

// A hostileCase is a JSON body for a method, by its name and its REST route, and the field that the
// response must name.
type hostileCase struct {
	name   string
	method string
	path   string
	body   string
	field  string
}

// hostileAccounts returns bodies of CreateAccount.
func hostileAccounts() []hostileCase {
	account := func(name, field, body string) hostileCase {
		return hostileCase{name, "AccountService/CreateAccount", "/api/v1/accounts", body, field}
	}
	return []hostileCase{
		account("empty body", "body", ""),
		account("no JSON", "", "hello"),
		account("half an object", "display_name", `{"display_name": "x`),
		account("missing value", "initial_balance", `{"initial_balance": }`),
		account("trailing comma", "", `{"display_name": "x",}`),
		account("two objects", "", `{}{}`),
		account("array", "", `[]`),
		account("null", "", `null`),
		account("unknown field", "ballance", `{"ballance": 5}`),
		account("field twice", "currency", `{"currency": "USD", "currency": "EUR"}`),
		account("field twice in both spellings", "display_name", `{"display_name": "a", "displayName": "b"}`),
		account("text as object", "display_name", `{"display_name": {"a": 1}}`),
		account("text as number", "display_name", `{"display_name": 5}`),
		account("map as array", "metadata", `{"metadata": ["a"]}`),
		account("map value as number", `metadata["k"]`, `{"metadata": {"k": 1}}`),
		account("deep nesting", "metadata", `{"metadata": `+strings.Repeat(`{"a":`, 50_000)+`1`+strings.Repeat(`}`, 50_000)+`}`),
		account("deep nesting of arrays", "metadata", `{"metadata": `+strings.Repeat(`[`, 100_000)+strings.Repeat(`]`, 100_000)+`}`),
		account("deep nesting in an unknown field", "x", `{"x": `+strings.Repeat(`[`, 200_000)),
		account("NUL in a text", "display_name", `{"display_name": "a\u0000b"}`),
		account("NUL in a key", "metadata", `{"metadata": {"a\u0000": "b"}}`),
		account("raw NUL", "display_name", "{\"display_name\": \"a\x00b\"}"),
		account("invalid UTF-8", "display_name", "{\"display_name\": \"a\xff\xfe\"}"),
		account("half a surrogate pair", "", `{"display_name": "\ud800"}`),
		account("long text", "display_name", `{"display_name": "`+strings.Repeat("x", 201)+`"}`),
		account("long picture", "image_url", `{"image_url": "https://`+strings.Repeat("x", 3000)+`"}`),
		account("too many pairs", "metadata", manyPairs(51)),
		account("far too many pairs", "metadata", manyPairs(20_000)),
		account("unknown currency", "currency", `{"currency": "QQQ"}`),
		account("no currency code", "currency", `{"currency": "US\n"}`),
		account("id that is no UUID", "account_id", `{"account_id": "12359cc6"}`),
		account("id in braces", "account_id", `{"account_id": "{12359cc6-6ea6-41a6-9c52-79734acbf191}"}`),
		account("negative balance", "initial_balance", `{"initial_balance": -0.01}`),
		account("precise balance", "initial_balance", `{"initial_balance": 100.001}`),
		account("balance as text with spaces", "initial_balance", `{"initial_balance": " 1"}`),
	}
}

// hostileTransfers returns bodies of CreateTransfer and BatchCreateTransfers between two accounts
// that exist.
func hostileTransfers(payer, payee string) []hostileCase {
	accounts := strings.NewReplacer("PAYER", payer, "PAYEE", payee)
	transfer := func(name, field, body string) hostileCase {
		return hostileCase{name, "TransferService/CreateTransfer", "/api/v1/transfers", accounts.Replace(body), field}
	}
	batch := func(name, field, body string) hostileCase {
		return hostileCase{name, "TransferService/BatchCreateTransfers", "/api/v1/transfers:batch", accounts.Replace(body), field}
	}
	one := `{"from_account_id":"PAYER","to_account_id":"PAYEE","amount":1}`
	amount := func(name, value string) hostileCase {
		return transfer("amount "+name, "amount", strings.Replace(one, ":1}", ":"+value+"}", 1))
	}
	return []hostileCase{
		transfer("id of no form", "from_account_id", `{"from_account_id":"x","to_account_id":"PAYEE","amount":1}`),
		transfer("no payee", "to_account_id", `{"from_account_id":"PAYER","amount":1}`),
		transfer("same account", "to_account_id", `{"from_account_id":"PAYER","to_account_id":"PAYER","amount":1}`),
		transfer("id as number", "from_account_id", `{"from_account_id":12,"to_account_id":"PAYEE","amount":1}`),
		amount("missing", `null`),
		amount("zero", `0`),
		amount("zero with decimals", `0.00`),
		amount("negative", `-5`),
		amount("negative zero", `-0`),
		amount("NaN", `NaN`),
		amount("text NaN", `"NaN"`),
		amount("Infinity", `"Infinity"`),
		amount("1e400", `1e400`),
		amount("text 1e400", `"1e400"`),
		amount("1e2", `1e2`),
		amount("5,000 digits", strings.Repeat("9", 5000)),
		amount("5,000 decimals", `0.`+strings.Repeat("0", 5000)+`1`),
		amount("too precise", `0.001`),
		amount("plus sign", `+1`),
		amount("leading zero", `01`),
		amount("hexadecimal", `"0x10"`),
		amount("comma", `"1,5"`),
		amount("other digits", `"١٢"`),
		amount("true", `true`),
		amount("object", `{"units": 5}`),
		amount("array", `[5]`),
		batch("empty", "transfers", `{"transfers": []}`),
		batch("missing", "transfers", `{}`),
		batch("oversized", "transfers", `{"transfers": [`+strings.Repeat(`{},`, 10_000)+`{}]}`),
		batch("item as text", "transfers[1]", `{"transfers": [`+one+`, "x"]}`),
		batch("amount as true", "transfers[1].amount", `{"transfers": [`+one+`, {"amount": true}]}`),
		batch("unknown field in an item", "transfers[1].amuont", `{"transfers": [`+one+`, {"amuont": 1}]}`),
		batch("atomic with an item below zero", "transfers[1].amount", `{"atomic": true, "transfers": [`+one+`, `+strings.Replace(one, ":1}", ":-1}", 1)+`]}`),
		batch("atomic as text", "atomic", `{"atomic": "yes", "transfers": [`+one+`]}`),
	}
}

// hostileOthers returns bodies of the other methods, for an account that exists.
func hostileOthers(account string) []hostileCase {
	return []hostileCase{
		{"forged page token", "TransferService/ListTransfers", "", `{"pageToken": "eyJ0IjoiMjAyNiJ9"}`, "page_token"},
		{"forged page token of entries", "AccountService/ListEntries", "", `{"accountId": "` + account + `", "pageToken": "` + strings.Repeat("A", 900) + `"}`, "page_token"},
		{"endless page token", "AccountService/ListAccounts", "", `{"pageToken": "` + strings.Repeat("A", 1001) + `"}`, "page_token"},
		{"page of no size", "AccountService/ListAccounts", "", `{"pageSize": "many"}`, "page_size"},
		{"page of minus one", "AccountService/ListAccounts", "", `{"pageSize": -1}`, "page_size"},
		{"page of half a row", "AccountService/ListAccounts", "", `{"pageSize": 1.5}`, "page_size"},
		{"unknown status", "AccountService/ListAccounts", "", `{"status": "NOPE"}`, "status"},
		{"status without a name", "AccountService/ListAccounts", "", `{"status": 77}`, "status"},
		{"time of no form", "TransferService/ListTransfers", "", `{"startTime": "yesterday"}`, "start_time"},
		{"time out of range", "TransferService/ListTransfers", "", `{"endTime": "10000-01-01T00:00:00Z"}`, "end_time"},
		{"range turned around", "TransferService/ListTransfers", "", `{"startTime": "2026-01-02T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"}`, "end_time"},
		{"mask of no form", "AccountService/UpdateAccount", "", `{"account": {"accountId": "` + account + `"}, "updateMask": "a..b"}`, "update_mask"},
		{"mask of a list", "AccountService/UpdateAccount", "", `{"account": {"accountId": "` + account + `"}, "updateMask": ["status"]}`, "update_mask"},
		{"version zero", "AccountService/UpdateAccount", "", `{"account": {"accountId": "` + account + `", "displayName": "n"}, "expectedVersion": 0}`, "expected_version"},
		{"scale as text", "LedgerService/CreateCurrency", "/api/v1/currencies", `{"code": "ABC", "scale": "two"}`, "scale"},
		{"scale of minus one", "LedgerService/CreateCurrency", "/api/v1/currencies", `{"code": "ABC", "scale": -1}`, "scale"},
	}
}

func manyPairs(n int) string {
	var body strings.Builder
	body.WriteString(`{"metadata": {"k": "v"`)
	for i := range n {
		fmt.Fprintf(&body, `, "k%d": "v"`, i)
	}
	body.WriteString(`}}`)
	return body.String()
}

// requireClientError checks that a response blames the client, as JSON, and names the field.
func requireClientError(t *testing.T, res reply, text, field string) {
	t.Helper()
	var answer struct {
		Code    any    `json:"code"`
		Message string `json:"message"`
	}
	if res.StatusCode < 400 || res.StatusCode > 499 {
		t.Errorf("status %d: %s", res.StatusCode, text)
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Code == nil || answer.Message == "" {
		t.Errorf("no error in JSON: %s", text)
	}
	if !strings.Contains(answer.Message, field) {
		t.Errorf("%q does not name %s", answer.Message, field)
	}
	if len(text) > 8<<10 {
		t.Errorf("an error of %d bytes", len(text))
	}
	if res.Header.Get("X-Request-Id") == "" {
		t.Error("no x-request-id")
	}
}

func TestHostileBodies(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	payer, payee := open(t, f.protocol(t, "grpc"), "1000"), open(t, f.protocol(t, "grpc"), "")
	before := f.counts(t)
	cases := slices.Concat(hostileAccounts(), hostileTransfers(payer.GetAccountId(), payee.GetAccountId()), hostileOthers(payer.GetAccountId()))
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			paths := []string{"/transfers.v1." + tc.method}
			if tc.path != "" {
				paths = append(paths, tc.path)
			}
			for _, path := range paths {
				res, text := f.send(t, http.MethodPost, path, tc.body, "Content-Type", "application/json")
				if res.StatusCode != http.StatusBadRequest && tc.body != "" {
					t.Errorf("%s: status %d", path, res.StatusCode)
				}
				requireClientError(t, res, text, tc.field)
			}
		})
	}
	if after := f.counts(t); after != before {
		t.Errorf("refused requests left something: %v, before %v", after, before)
	}
}

// A hostileRequest is a whole request, the status it must get, and what the response must name.
type hostileRequest struct {
	name, method, path, body string
	header                   []string
	status                   int
	field                    string
}

// hostileURLs returns requests with something wrong in path or query, for an account that exists.
func hostileURLs(account string) []hostileRequest {
	return []hostileRequest{
		{"unknown parameter", "GET", "/api/v1/accounts?page_sise=1", "", nil, 400, "page_sise"},
		{"unknown parameter beside a good one", "GET", "/api/v1/transfers?page_size=1&x=y", "", nil, 400, "x"},
		{"nested parameter", "GET", "/api/v1/accounts/" + account + "?account.status=OPEN", "", nil, 400, "account.status"},
		{"path variable as parameter", "GET", "/api/v1/accounts/" + account + "/entries?account_id=x", "", nil, 400, "account_id"},
		{"parameter twice", "GET", "/api/v1/accounts?page_size=1&pageSize=2", "", nil, 400, "page_size"},
		{"parameter twice by one name", "GET", "/api/v1/accounts?page_size=1&page_size=2", "", nil, 400, "page_size"},
		{"malformed query", "GET", "/api/v1/accounts?page_size=%zz", "", nil, 400, "query"},
		{"number", "GET", "/api/v1/accounts?page_size=abc", "", nil, 400, "page_size"},
		{"empty number", "GET", "/api/v1/accounts?page_size=", "", nil, 400, "page_size"},
		{"large number", "GET", "/api/v1/accounts?page_size=99999999999", "", nil, 400, "page_size"},
		{"number out of range", "GET", "/api/v1/accounts?page_size=5000", "", nil, 400, "page_size"},
		{"enum", "GET", "/api/v1/accounts?status=NOPE", "", nil, 400, "status"},
		{"enum of the zero value's kind", "GET", "/api/v1/accounts/" + account + "/entries?order=SIDEWAYS", "", nil, 400, "order"},
		{"time", "GET", "/api/v1/transfers?start_time=x", "", nil, 400, "start_time"},
		{"quoted time", "GET", "/api/v1/transfers?start_time=%222026-01-01T00:00:00Z%22", "", nil, 400, "start_time"},
		{"mask", "PATCH", "/api/v1/accounts/" + account + "?update_mask=a..b", `{}`, nil, 400, "update_mask"},
		{"mask of unknown fields", "PATCH", "/api/v1/accounts/" + account + "?update_mask=nonsense_path", `{}`, nil, 400, "update_mask"},
		{"version", "PATCH", "/api/v1/accounts/" + account + "?expected_version=x", `{"display_name": "n"}`, nil, 400, "expected_version"},
		{"text that is no UTF-8", "GET", "/api/v1/transfers?reference=%ff", "", nil, 400, "reference"},
		{"text with NUL", "GET", "/api/v1/transfers?reference=%00", "", nil, 400, "reference"},
		{"page token", "GET", "/api/v1/transfers?page_token=x", "", nil, 400, "page_token"},
		{"id that is no UUID", "GET", "/api/v1/accounts/x", "", nil, 400, "account_id"},
		{"empty id", "GET", "/api/v1/accounts/", "", nil, 400, "account_id"},
		{"id that is no UTF-8", "GET", "/api/v1/accounts/%ff", "", nil, 400, "account_id"},
		{"id with a percent sign", "GET", "/api/v1/accounts/%25zz", "", nil, 400, "account_id"},
		{"id with NUL", "GET", "/api/v1/transfers/%00", "", nil, 400, "transfer_id"},
		{"Connect header", "GET", "/api/v1/accounts/x", "", []string{"Connect-Protocol-Version", "1"}, 400, "account_id"},
		{"body of a GET", "GET", "/api/v1/accounts", `{"page_size": 1}`, nil, 400, "no body"},
	}
}

// hostileHeaders returns requests with something wrong elsewhere.
func hostileHeaders(account string) []hostileRequest {
	huge := `{"display_name": "` + strings.Repeat("x", 100_000) + `"}`
	return []hostileRequest{
		{"parameter of a body", "POST", "/api/v1/accounts?currency=EUR", `{}`, nil, 400, "currency"},
		{"id of a patch", "PATCH", "/api/v1/accounts/x", `{"display_name": "n"}`, nil, 400, "account.account_id"},
		{"id with a verb", "GET", "/api/v1/accounts/" + account + ":close", "", nil, 404, "route"},
		{"id with a colon", "GET", "/api/v1/accounts/" + account + ":", "", nil, 404, "route"},
		{"unknown path", "GET", "/api/v1/nonsense", "", nil, 404, "route"},
		{"RPC path under api", "POST", "/api/transfers.v1.AccountService/GetAccount", `{}`, nil, 404, "route"},
		{"wrong method", "DELETE", "/api/v1/accounts/" + account, "", nil, 405, "GET, PATCH"},
		{"wrong method of a verb", "GET", "/api/v1/transfers:batch", "", nil, 405, "POST"},
		{"text/plain", "POST", "/api/v1/accounts", `{}`, []string{"Content-Type", "text/plain"}, 415, "application/json"},
		{"a form", "POST", "/api/v1/accounts", `{}`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json"},
		{"no type", "POST", "/api/v1/accounts", `{}`, []string{"Content-Type", ""}, 415, "application/json"},
		{"gRPC on a REST path", "POST", "/api/v1/accounts", `{}`, []string{"Content-Type", "application/grpc"}, 415, "application/json"},
		{"other charset", "POST", "/api/v1/accounts", `{}`, []string{"Content-Type", "application/json; charset=utf-16"}, 415, "utf-16"},
		{"unknown compression", "POST", "/api/v1/accounts", `{}`, []string{"Content-Encoding", "br"}, 415, "gzip"},
		{"no gzip", "POST", "/api/v1/accounts", `{}`, []string{"Content-Encoding", "gzip"}, 400, "body"},
		{"time-out", "GET", "/api/v1/accounts", "", []string{"X-Server-Timeout", "soon"}, 400, "X-Server-Timeout"},
		{"endless time-out", "GET", "/api/v1/accounts", "", []string{"X-Server-Timeout", "Inf"}, 400, "X-Server-Timeout"},
		{"time-out that is no number", "GET", "/api/v1/accounts", "", []string{"X-Server-Timeout", "NaN"}, 400, "X-Server-Timeout"},
		{"huge body", "POST", "/api/v1/accounts", huge, nil, 413, "100000"},
		{"huge body over Connect", "POST", "/transfers.v1.AccountService/CreateAccount", huge, nil, 429, "100000"},
		{"huge body of a patch", "PATCH", "/api/v1/accounts/" + account, huge, nil, 413, "100000"},
		{"bomb", "POST", "/api/v1/accounts", gzipped(huge), []string{"Content-Encoding", "gzip"}, 413, "100000"},
		{"bomb over Connect", "POST", "/transfers.v1.AccountService/CreateAccount", gzipped(huge), []string{"Content-Encoding", "gzip"}, 429, "100000"},
		{"malformed JSON in a patch", "PATCH", "/api/v1/accounts/" + account, `{"display_name":`, nil, 400, "account.display_name"},
		{"wrong type in a patch", "PATCH", "/api/v1/accounts/" + account, `{"metadata": {"a": 1}}`, nil, 400, `account.metadata["a"]`},
		{"unknown field in a patch", "PATCH", "/api/v1/accounts/" + account, `{"nickname": "x"}`, nil, 400, "account.nickname"},
		{"exponent in a patch", "PATCH", "/api/v1/accounts/" + account, `{"min_balance": -1e2}`, nil, 400, "account.min_balance"},
		{"Connect GET of a write", "GET", "/transfers.v1.AccountService/CreateAccount?encoding=json&message=%7B%7D", "", nil, 405, ""},
	}
}

func TestHostileRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{MaxRequestBytes: 100_000})
	account := open(t, f.protocol(t, "grpc"), "1000").GetAccountId()
	before := f.counts(t)
	for _, tc := range slices.Concat(hostileURLs(account), hostileHeaders(account)) {
		t.Run(tc.name, func(t *testing.T) {
			res, text := f.send(t, tc.method, tc.path, tc.body, tc.header...)
			if res.StatusCode != tc.status {
				t.Errorf("status %d, want %d: %s", res.StatusCode, tc.status, text)
			}
			if strings.HasPrefix(tc.path, "/api/") || tc.status != http.StatusMethodNotAllowed {
				requireClientError(t, res, text, tc.field)
			}
		})
	}
	if after := f.counts(t); after != before {
		t.Errorf("refused requests left something: %v, before %v", after, before)
	}
}

func gzipped(text string) string {
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return compressed.String()
}

// TestInvalidUTF8InBinary sends what no Go client would encode.
func TestInvalidUTF8InBinary(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	before := f.counts(t)
	for name, body := range map[string]string{"invalid UTF-8": "\x2a\x02\xff\xfe", "half a field": "\x2a\x10x", "noise": "\xff\xff\xff\xff",
		"invalid UTF-8 in a value": "\x3a\x06\x0a\x01k\x12\x01\xff"} {
		res, text := f.send(t, http.MethodPost, "/transfers.v1.AccountService/CreateAccount", body, "Content-Type", "application/proto")
		field := ""
		switch name {
		case "invalid UTF-8":
			field = "display_name"
		case "invalid UTF-8 in a value":
			field = "metadata"
		}
		requireClientError(t, res, text, field)
	}
	if after := f.counts(t); after != before {
		t.Errorf("refused requests left something: %v, before %v", after, before)
	}
}

// TestBatchNamesEachItem gives a batch with every kind of item; the good ones must happen.
func TestBatchNamesEachItem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "10"), open(t, c, "")
		taken := transferRequest(a, b, "1")
		mustCall(t, c, "TransferService/CreateTransfer", taken, &transfersv1.CreateTransferResponse{})
		changed := transferRequest(a, b, "2")
		changed.TransferId = taken.GetTransferId()
		invalid := transferRequest(a, b, "-1")
		noUUID := transferRequest(a, b, "1")
		noUUID.FromAccountId = "x"
		items := []*transfersv1.CreateTransferRequest{
			transferRequest(a, b, "2"), invalid, taken, changed, transferRequest(a, b, "0.001"), noUUID,
			transferRequest(a, b, "100"), transferRequest(b, a, "3"), transferRequest(a, a, "1"),
		}
		results := mustCall(t, c, "TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{Transfers: items},
			&transfersv1.BatchCreateTransfersResponse{}).GetResults()
		want := []string{"SUCCESS", "amount", "SUCCESS", "already exists", "amount", "from_account_id", "FAILED", "SUCCESS", "to_account_id"}
		if len(results) != len(want) {
			t.Fatalf("%d results", len(results))
		}
		for i, result := range results {
			got := result.GetTransfer().GetStatus().String()
			if result.GetError() != nil {
				got = result.GetError().GetMessage()
				if len(result.GetError().GetDetails()) == 0 || strings.Contains(got, "transfers[") {
					t.Errorf("%d: %v", i, result)
				}
			} else if result.GetTransfer().GetTransferId() != items[i].GetTransferId() {
				t.Errorf("%d: %v is the result of another item", i, result)
			}
			if !strings.Contains(got, want[i]) || result.GetReplayed() != (i == 2) {
				t.Errorf("%d: %v, want %s", i, result, want[i])
			}
		}
		group := []*transfersv1.CreateTransferRequest{transferRequest(a, b, "1"), transferRequest(a, b, "100"), {
			TransferId: uuid.NewString(), FromAccountId: uuid.NewString(), ToAccountId: b.GetAccountId(), Amount: "1",
		}}
		results = mustCall(t, c, "TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{Atomic: true, Transfers: group},
			&transfersv1.BatchCreateTransfersResponse{}).GetResults()
		for i, reason := range []string{"GROUP_FAILED", "INSUFFICIENT_FUNDS"} {
			if results[i].GetTransfer().GetErrorReason().String() != reason {
				t.Errorf("atomic %d: %v, want %s", i, results[i], reason)
			}
		}
		balance := mustCall(t, c, "AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: a.GetAccountId()},
			&transfersv1.GetAccountResponse{}).GetAccount().GetBalance()
		if balance != "10.00" { // 10 - 1 - 2 + 3
			t.Errorf("balance %s", balance)
		}
	})
}
