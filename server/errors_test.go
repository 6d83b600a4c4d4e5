package server_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/server"
)

// detail finds an error's detail of a type; nil: it has none.
func detail[T proto.Message](t *testing.T, failed *connect.Error) (found T) {
	t.Helper()
	for _, d := range failed.Details() {
		value, err := d.Value()
		if err != nil {
			t.Fatalf("detail %s: %v", d.Type(), err)
		}
		if v, ok := value.(T); ok {
			return v
		}
	}
	return found
}

// requireInfo checks the code and the google.rpc.ErrorInfo of an error, against the parts that want
// names, and returns its metadata.
func requireInfo(t *testing.T, failed *connect.Error, code connect.Code, reason string, want ...string) {
	t.Helper()
	if failed == nil {
		t.Fatalf("no error, want %s %s", code, reason)
	}
	info := detail[*errdetails.ErrorInfo](t, failed)
	if failed.Code() != code || info.GetReason() != reason || info.GetDomain() != "transfers" {
		t.Fatalf("%v with %v, want %s %s", failed, info, code, reason)
	}
	for i := 0; i < len(want); i += 2 {
		if info.GetMetadata()[want[i]] != want[i+1] {
			t.Errorf("%s: metadata %s = %q, want %q", reason, want[i], info.GetMetadata()[want[i]], want[i+1])
		}
	}
}

// requireField checks that an error is about a field, in its text and in its details.
func requireField(t *testing.T, failed *connect.Error, field string) {
	t.Helper()
	requireInfo(t, failed, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	if !strings.Contains(failed.Message(), field) {
		t.Errorf("%q does not name %s", failed.Message(), field)
	}
	for _, violation := range detail[*errdetails.BadRequest](t, failed).GetFieldViolations() {
		if violation.GetField() == field && violation.GetDescription() != "" {
			return
		}
	}
	t.Errorf("%v has no violation of %s", failed.Details(), field)
}

func transferRequest(from, to *transfersv1.Account, amount string) *transfersv1.CreateTransferRequest {
	return &transfersv1.CreateTransferRequest{
		TransferId: uuid.NewString(), FromAccountId: from.GetAccountId(), ToAccountId: to.GetAccountId(), Amount: amount,
	}
}

// An invalidRequest is a request that must be refused for a field.
type invalidRequest struct {
	method string
	req    proto.Message
	field  string
}

func invalidRequests(a, b *transfersv1.Account) []invalidRequest {
	change := func(set func(*transfersv1.CreateTransferRequest)) *transfersv1.CreateTransferRequest {
		req := transferRequest(a, b, "1")
		set(req)
		return req
	}
	update := func(account *transfersv1.Account, paths ...string) *transfersv1.UpdateAccountRequest {
		account.AccountId = a.GetAccountId()
		return &transfersv1.UpdateAccountRequest{Account: account, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}}
	}
	return []invalidRequest{
		{"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{AccountId: "x"}, "account_id"},
		{"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{AccountId: uuid.Nil.String()}, "account_id"},
		{"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{Currency: "NOPE"}, "currency"},
		{"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{Currency: "usd"}, "currency"},
		{"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{InitialBalance: "-1"}, "initial_balance"},
		{"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{InitialBalance: "0.001"}, "initial_balance"},
		{"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{MinBalance: "1e5"}, "min_balance"},
		{"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{MinBalance: "5"}, "min_balance"},
		{"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{ImageUrl: "javascript:alert(1)"}, "image_url"},
		{"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{Metadata: map[string]string{"": "v"}}, `metadata[""]`},
		{"AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: "not-a-uuid"}, "account_id"},
		{"AccountService/GetAccount", &transfersv1.GetAccountRequest{}, "account_id"},
		{"AccountService/ListAccounts", &transfersv1.ListAccountsRequest{PageToken: "forged"}, "page_token"},
		{"AccountService/ListAccounts", &transfersv1.ListAccountsRequest{PageSize: 1001}, "page_size"},
		{"AccountService/ListEntries", &transfersv1.ListEntriesRequest{AccountId: a.GetAccountId(), PageToken: "AAAA"}, "page_token"},
		{"AccountService/ListEntries", &transfersv1.ListEntriesRequest{AccountId: a.GetAccountId(), StartTime: b.GetCreateTime(), EndTime: a.GetCreateTime()}, "end_time"},
		{"AccountService/UpdateAccount", update(&transfersv1.Account{}, "min_balance"), "account.min_balance"},
		{"AccountService/UpdateAccount", update(&transfersv1.Account{}, "status"), "account.status"},
		{"AccountService/UpdateAccount", update(&transfersv1.Account{}, "balance"), "update_mask"},
		{"AccountService/UpdateAccount", update(&transfersv1.Account{}, "nonsense"), "update_mask"},
		{"AccountService/UpdateAccount", update(&transfersv1.Account{}), "update_mask"},
		{"AccountService/UpdateAccount", update(&transfersv1.Account{MinBalance: proto.String("0.001")}), "account.min_balance"},
		{"AccountService/UpdateAccount", update(&transfersv1.Account{MinBalance: proto.String("")}, "min_balance"), "account.min_balance"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.FromAccountId = "x" }), "from_account_id"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.ToAccountId = "" }), "to_account_id"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.TransferId = "1" }), "transfer_id"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.Amount = "" }), "amount"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.Amount = "0" }), "amount"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.Amount = "-1" }), "amount"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.Amount = "NaN" }), "amount"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.Amount = "1e400" }), "amount"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.Amount = "0.001" }), "amount"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.Amount = strings.Repeat("9", 5000) }), "amount"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.ToAccountId = strings.ToUpper(r.FromAccountId) }), "to_account_id"},
		{"TransferService/CreateTransfer", change(func(r *transfersv1.CreateTransferRequest) { r.Reference = "a\x00b" }), "reference"},
		{"TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{}, "transfers"},
		{"TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{Atomic: true, Transfers: []*transfersv1.CreateTransferRequest{
			transferRequest(a, b, "1"), transferRequest(a, b, "-1"),
		}}, "transfers[1].amount"},
		{"TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{Atomic: true, Transfers: []*transfersv1.CreateTransferRequest{
			transferRequest(a, b, "1"), transferRequest(a, b, "1"), transferRequest(a, b, "1.001"),
		}}, "transfers[2].amount"},
		{"TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{Atomic: true, Transfers: []*transfersv1.CreateTransferRequest{
			transferRequest(a, a, "1"),
		}}, "transfers[0].to_account_id"},
		{"TransferService/GetTransfer", &transfersv1.GetTransferRequest{TransferId: "x"}, "transfer_id"},
		{"TransferService/ListTransfers", &transfersv1.ListTransfersRequest{AccountId: "x"}, "account_id"},
		{"TransferService/ListTransfers", &transfersv1.ListTransfersRequest{PageToken: strings.Repeat("A", 64)}, "page_token"},
		{"LedgerService/CreateCurrency", &transfersv1.CreateCurrencyRequest{Code: "usd"}, "code"},
		{"LedgerService/CreateCurrency", &transfersv1.CreateCurrencyRequest{Code: "ABC", Scale: 19}, "scale"},
		{"LedgerService/ListCurrencies", &transfersv1.ListCurrenciesRequest{PageToken: "?"}, "page_token"},
	}
}

func TestInvalidArgument(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	a, b := open(t, f.protocol(t, "grpc"), "10"), open(t, f.protocol(t, "grpc"), "")
	before := f.counts(t)
	eachProtocol(t, f, func(t *testing.T, c client) {
		for _, tc := range invalidRequests(a, b) {
			header, failed := c.call(t.Context(), tc.method, tc.req, answerTo(tc.method))
			if failed == nil {
				t.Errorf("%s %v: no error", tc.method, tc.req)
				continue
			}
			t.Run(tc.field, func(t *testing.T) { requireField(t, failed, tc.field) })
			if header.Get("X-Request-Id") == "" {
				t.Errorf("%s: no x-request-id", tc.method)
			}
		}
	})
	if after := f.counts(t); after != before {
		t.Errorf("refused requests left something: %v, before %v", after, before)
	}
}

// answerTo returns an empty response of a method.
func answerTo(method string) proto.Message {
	name := methodOf(method).Output().FullName()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		panic(err)
	}
	return kind.New().Interface()
}

func TestRefusedTransfers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		rich, poor := open(t, c, "100"), open(t, c, "")
		yen := mustCall(t, c, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{Currency: "JPY"}, &transfersv1.CreateAccountResponse{}).GetAccount()
		nobody := &transfersv1.Account{AccountId: uuid.NewString()}
		frozen, closed := open(t, c, ""), open(t, c, "")
		for account, status := range map[*transfersv1.Account]transfersv1.Account_Status{
			frozen: transfersv1.Account_FROZEN, closed: transfersv1.Account_CLOSED,
		} {
			mustCall(t, c, "AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{Account: &transfersv1.Account{
				AccountId: account.GetAccountId(), Status: status,
			}}, &transfersv1.UpdateAccountResponse{})
		}
		cases := []struct {
			reason   string
			from, to *transfersv1.Account
			amount   string
			metadata []string
		}{
			{"INSUFFICIENT_FUNDS", poor, rich, "20", []string{"amount", "20.00", "currency", "USD", "from_balance", "0.00", "to_balance", "100.00", "seen", "0.00", "allowed", "0.00"}},
			{"FROM_ACCOUNT_NOT_FOUND", nobody, rich, "20", []string{"from_balance", ""}},
			{"TO_ACCOUNT_NOT_FOUND", rich, nobody, "20", []string{"to_balance", ""}},
			{"FROM_ACCOUNT_NOT_FOUND", &transfersv1.Account{AccountId: uuid.Max.String()}, rich, "20", nil},
			{"CURRENCY_MISMATCH", rich, yen, "20", nil},
			{"ACCOUNT_FROZEN", rich, frozen, "20", nil},
			{"ACCOUNT_CLOSED", closed, rich, "20", nil},
		}
		for _, tc := range cases {
			t.Run(tc.reason, func(t *testing.T) {
				req := transferRequest(tc.from, tc.to, tc.amount)
				header, failed := c.call(t.Context(), "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
				requireInfo(t, failed, connect.CodeFailedPrecondition, tc.reason, append(tc.metadata,
					"transfer_id", req.GetTransferId(), "from_account_id", req.GetFromAccountId(), "to_account_id", req.GetToAccountId())...)
				if header.Get("Idempotency-Replayed") != "" || !strings.Contains(failed.Message(), req.GetTransferId()) {
					t.Errorf("%v, headers %v", failed, header)
				}
				header, again := c.call(t.Context(), "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
				requireInfo(t, again, connect.CodeFailedPrecondition, tc.reason)
				if header.Get("Idempotency-Replayed") != "true" || again.Message() != failed.Message() ||
					!proto.Equal(detail[*errdetails.ErrorInfo](t, again), detail[*errdetails.ErrorInfo](t, failed)) {
					t.Errorf("replay: %v, first %v, headers %v", again, failed, header)
				}
				recorded := mustCall(t, c, "TransferService/GetTransfer", &transfersv1.GetTransferRequest{TransferId: req.GetTransferId()},
					&transfersv1.GetTransferResponse{}).GetTransfer()
				if recorded.GetStatus() != transfersv1.Transfer_FAILED || recorded.GetErrorReason().String() != tc.reason {
					t.Errorf("recorded: %v", recorded)
				}
			})
		}
	})
}

func TestReadConflictAndStateErrors(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		fail := func(method string, req proto.Message) *connect.Error {
			t.Helper()
			_, failed := c.call(t.Context(), method, req, answerTo(method))
			return failed
		}
		id := uuid.NewString()
		requireInfo(t, fail("AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: id}), connect.CodeNotFound, "ACCOUNT_NOT_FOUND", "account_id", id)
		requireInfo(t, fail("AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: uuid.Max.String()}), connect.CodeNotFound, "ACCOUNT_NOT_FOUND")
		requireInfo(t, fail("AccountService/ListEntries", &transfersv1.ListEntriesRequest{AccountId: id}), connect.CodeNotFound, "ACCOUNT_NOT_FOUND", "account_id", id)
		requireInfo(t, fail("TransferService/GetTransfer", &transfersv1.GetTransferRequest{TransferId: id}), connect.CodeNotFound, "TRANSFER_NOT_FOUND", "transfer_id", id)
		requireInfo(t, fail("AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{Account: &transfersv1.Account{AccountId: id, DisplayName: "n"}}),
			connect.CodeNotFound, "ACCOUNT_NOT_FOUND")
		none := mustCall(t, c, "TransferService/ListTransfers", &transfersv1.ListTransfersRequest{AccountId: uuid.Max.String()}, &transfersv1.ListTransfersResponse{})
		if len(none.GetTransfers()) != 0 {
			t.Errorf("transfers of no account: %v", none)
		}

		a, b := open(t, c, "10"), open(t, c, "")
		requireInfo(t, fail("AccountService/CreateAccount", &transfersv1.CreateAccountRequest{AccountId: a.GetAccountId(), InitialBalance: "11"}),
			connect.CodeAlreadyExists, "ACCOUNT_ALREADY_EXISTS", "account_id", a.GetAccountId())
		requireInfo(t, fail("LedgerService/CreateCurrency", &transfersv1.CreateCurrencyRequest{Code: "USD", Scale: 3}),
			connect.CodeAlreadyExists, "CURRENCY_ALREADY_EXISTS", "code", "USD")
		req := transferRequest(a, b, "1")
		mustCall(t, c, "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
		req.Amount = "2"
		requireInfo(t, fail("TransferService/CreateTransfer", req), connect.CodeAlreadyExists, "TRANSFER_ALREADY_EXISTS", "transfer_id", req.GetTransferId())
		requireInfo(t, fail("TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{
			Atomic: true, Transfers: []*transfersv1.CreateTransferRequest{transferRequest(a, b, "1"), req},
		}), connect.CodeAlreadyExists, "TRANSFER_ALREADY_EXISTS", "transfer_id", req.GetTransferId())

		requireInfo(t, fail("AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{
			Account: &transfersv1.Account{AccountId: a.GetAccountId(), DisplayName: "n"}, ExpectedVersion: proto.Int64(99),
		}), connect.CodeAborted, "VERSION_MISMATCH", "account_id", a.GetAccountId(), "expected_version", "99")
		requireInfo(t, fail("AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{
			Account: &transfersv1.Account{AccountId: a.GetAccountId(), Status: transfersv1.Account_CLOSED},
		}), connect.CodeFailedPrecondition, "ACCOUNT_NOT_EMPTY", "account_id", a.GetAccountId())
		requireInfo(t, fail("AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{
			Account: &transfersv1.Account{AccountId: a.GetAccountId(), MinBalance: proto.String("50")},
		}), connect.CodeFailedPrecondition, "INSUFFICIENT_FUNDS", "account_id", a.GetAccountId())
	})
}

// An inProcess transport hands requests to a handler without a connection, so that a handler's time
// limit of nearly nothing does not also cut off the body.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	served := req.Clone(req.Context())
	served.ProtoMajor, served.ProtoMinor = 2, 0
	if served.Body == nil {
		served.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	p.handler.ServeHTTP(recorder, served)
	return recorder.Result(), nil
}

func TestDeadlineExceeded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{RequestTimeout: time.Nanosecond})
	f.http1 = &http.Client{Transport: inProcess{f.server}}
	f.http2 = f.http1
	eachProtocol(t, f, func(t *testing.T, c client) {
		req := transferRequest(&transfersv1.Account{AccountId: uuid.NewString()}, &transfersv1.Account{AccountId: uuid.NewString()}, "1")
		_, failed := c.call(t.Context(), "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
		requireInfo(t, failed, connect.CodeDeadlineExceeded, "DEADLINE_EXCEEDED")
		_, failed = c.call(t.Context(), "AccountService/ListAccounts", &transfersv1.ListAccountsRequest{}, &transfersv1.ListAccountsResponse{})
		requireInfo(t, failed, connect.CodeDeadlineExceeded, "DEADLINE_EXCEEDED")
	})
}

// TestUnavailableAndOverloaded takes the database away: reads are refused, one transfer is tried in
// vain, one waits, and more find the queue full.
func TestUnavailableAndOverloaded(t *testing.T) {
	database := pgtest.NewServer(t)
	l, err := postgres.Open(t.Context(), postgres.Config{
		DatabaseURL: database.URL(), BatchesInFlight: 1, BatchMax: 1, QueueMax: 1, BatchTimeout: time.Minute,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	f := serve(t, server.Config{Ledger: l})
	grpc := f.protocol(t, "grpc")
	a, b := open(t, grpc, "10"), open(t, grpc, "")
	if res, text := f.send(t, http.MethodGet, "/readycheck", ""); res.StatusCode != http.StatusOK {
		t.Errorf("ready: %d %s", res.StatusCode, text)
	}
	// Stopped, not killed: after a kill the sessions that are open live on for a moment, and
	// return.
	if err := database.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/readycheck", "/readycheck?for=read"} {
		f.awaitReadiness(t, path, http.StatusServiceUnavailable, `{"status":"unavailable","reason":"the database is not available: it cannot be reached"}`)
	}
	if res, text := f.send(t, http.MethodGet, "/healthcheck", ""); res.StatusCode != http.StatusOK {
		t.Errorf("alive without a database: %d %s", res.StatusCode, text)
	}
	requireUnknownOutcome(t, f, a, b)
	ctx, cancel := context.WithCancel(t.Context())
	var fillers sync.WaitGroup
	for range 4 {
		fillers.Go(func() {
			for ctx.Err() == nil {
				_, _ = grpc.call(ctx, "TransferService/CreateTransfer", transferRequest(a, b, "1"), &transfersv1.CreateTransferResponse{})
			}
		})
	}
	eachProtocol(t, f, func(t *testing.T, c client) {
		_, failed := c.call(t.Context(), "AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: a.GetAccountId()}, &transfersv1.GetAccountResponse{})
		requireInfo(t, failed, connect.CodeUnavailable, "DATABASE_UNAVAILABLE")
		if detail[*errdetails.RetryInfo](t, failed) == nil {
			t.Errorf("no RetryInfo: %v", failed)
		}
		for { // a call that finds a free place in the queue would wait in it
			short, done := context.WithTimeout(t.Context(), 200*time.Millisecond)
			_, failed = c.call(short, "TransferService/CreateTransfer", transferRequest(a, b, "1"), &transfersv1.CreateTransferResponse{})
			done()
			if failed.Code() == connect.CodeResourceExhausted {
				break
			}
		}
		requireInfo(t, failed, connect.CodeResourceExhausted, "OVERLOADED")
		if detail[*errdetails.RetryInfo](t, failed).GetRetryDelay().AsDuration() <= 0 {
			t.Errorf("no RetryInfo: %v", failed)
		}
	})
	cancel()
	fillers.Wait()
	database = pgtest.Restart(t, database)
	if err := l.Close(t.Context()); err != nil {
		t.Logf("close the ledger of the old server: %v", err)
	}
	_, failed := grpc.call(t.Context(), "TransferService/CreateTransfer", transferRequest(a, b, "1"), &transfersv1.CreateTransferResponse{})
	requireInfo(t, failed, connect.CodeUnavailable, "SHUTTING_DOWN")
	openLedger(t, postgres.Config{DatabaseURL: database.URL()})
}

// requireUnknownOutcome lets a deadline pass while a transfer is tried in vain, by each header that
// sets one. The response names the transfer to look up, though the caller gave no id.
func requireUnknownOutcome(t *testing.T, f *fixture, from, to *transfersv1.Account) {
	t.Helper()
	body := `{"fromAccountId": "` + from.GetAccountId() + `", "toAccountId": "` + to.GetAccountId() + `", "amount": 1}`
	for path, header := range map[string][]string{
		"/api/v1/transfers":                            {"X-Server-Timeout", "0.2"},
		"/transfers.v1.TransferService/CreateTransfer": {"Connect-Timeout-Ms", "200"},
	} {
		res, text := f.send(t, http.MethodPost, path, body, header...)
		if res.StatusCode != http.StatusGatewayTimeout || !regexp.MustCompile(`transfer [0-9a-f-]{36} may or may not`).MatchString(text) {
			t.Errorf("%s: %d %s", path, res.StatusCode, text)
		}
	}
}

// TestInternalErrorsSayNothing has handlers panic, in a ledger that was never opened.
func TestInternalErrorsSayNothing(t *testing.T) {
	t.Parallel()
	f := serve(t, server.Config{Ledger: new(postgres.Ledger)})
	eachProtocol(t, f, func(t *testing.T, c client) {
		header, failed := c.call(t.Context(), "AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: uuid.NewString()}, &transfersv1.GetAccountResponse{})
		requireInfo(t, failed, connect.CodeInternal, "INTERNAL")
		if strings.Contains(failed.Message(), "nil") || header.Get("X-Request-Id") == "" {
			t.Errorf("%v, headers %v", failed, header)
		}
	})
}
