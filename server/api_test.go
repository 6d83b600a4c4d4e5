package server_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

// TestCurl makes the calls of the README exactly as they are written there.
func TestCurl(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	post := func(path, body string) map[string]any {
		t.Helper()
		res, text := f.send(t, http.MethodPost, path, body)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", path, res.StatusCode, text)
		}
		var answer map[string]any
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatalf("%s: %v in %s", path, err, text)
		}
		return answer
	}
	want := func(answer map[string]any, pairs ...string) {
		t.Helper()
		for i := 0; i < len(pairs); i += 2 {
			if answer[pairs[i]] != pairs[i+1] {
				t.Errorf("%s = %v, want %s", pairs[i], answer[pairs[i]], pairs[i+1])
			}
		}
	}
	const first, second = "12359cc6-6ea6-41a6-9c52-79734acbf191", "12359cc6-6ea6-41a6-9c52-79734acbf192"
	want(post("/api/v1/account/create", `{"account_id": "`+first+`", "initial_balance": 100.0}`),
		"accountId", first, "balance", "100.00", "currency", "USD", "status", "OPEN", "minBalance", "0.00")
	post("/api/v1/account/create", `{"account_id": "`+second+`"}`)
	want(post("/api/v1/account/get", `{"account_id": "`+first+`"}`), "accountId", first, "available", "100.00")
	want(post("/api/v1/transaction/create", `{"from_account_id": "`+first+`", "to_account_id": "`+second+`", "amount": 20.0}`),
		"amount", "20.00", "fromBalance", "80.00", "toBalance", "20.00", "status", "SUCCESS")
	want(post("/api/v1/account/get", `{"account_id": "`+second+`"}`), "balance", "20.00")
}

// open makes an account and returns it.
func open(t *testing.T, c client, balance string) *transfersv1.Account {
	t.Helper()
	return mustCall(t, c, "AccountService/CreateAccount",
		&transfersv1.CreateAccountRequest{AccountId: uuid.NewString(), InitialBalance: balance},
		&transfersv1.CreateAccountResponse{}).GetAccount()
}

func requireEqual(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Fatalf("\n got %v\nwant %v", got, want)
	}
}

func TestCreateAccount(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		req := &transfersv1.CreateAccountRequest{
			AccountId: uuid.NewString(), Currency: "JPY", InitialBalance: "12", MinBalance: "-5",
			DisplayName: "Zoë 🐟", ImageUrl: "https://example.com/z.png", Metadata: map[string]string{"a": "1", "b": ""},
		}
		res := &transfersv1.CreateAccountResponse{}
		header, err := c.call(t.Context(), "AccountService/CreateAccount", req, res)
		if err != nil || header.Get("Idempotency-Replayed") != "" || header.Get("X-Request-Id") == "" {
			t.Fatalf("%v, headers %v", err, header)
		}
		account := res.GetAccount()
		requireEqual(t, account, &transfersv1.Account{
			AccountId: req.GetAccountId(), Currency: "JPY", Balance: "12", Available: "12", Held: "0", Incoming: "0",
			MinBalance: proto.String("-5"), Status: transfersv1.Account_OPEN, DisplayName: req.GetDisplayName(), ImageUrl: req.GetImageUrl(),
			Metadata: req.GetMetadata(), Version: account.GetVersion(), CreateTime: account.GetCreateTime(), UpdateTime: account.GetUpdateTime(),
		})
		again := &transfersv1.CreateAccountResponse{}
		header, err = c.call(t.Context(), "AccountService/CreateAccount", req, again)
		if err != nil || header.Get("Idempotency-Replayed") != "true" {
			t.Fatalf("replay: %v, headers %v", err, header)
		}
		requireEqual(t, again, res)
		read := mustCall(t, c, "AccountService/GetAccount",
			&transfersv1.GetAccountRequest{AccountId: req.GetAccountId()}, &transfersv1.GetAccountResponse{})
		requireEqual(t, read.GetAccount(), account)
	})
}

func TestListAccounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	currencies := []string{"AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH", "III"}
	eachProtocol(t, f, func(t *testing.T, c client) {
		code := currencies[0]
		currencies = currencies[1:]
		mustCall(t, c, "LedgerService/CreateCurrency", &transfersv1.CreateCurrencyRequest{Code: code, Scale: 3}, &transfersv1.CreateCurrencyResponse{})
		var want []string
		for range 5 {
			account := mustCall(t, c, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{Currency: code},
				&transfersv1.CreateAccountResponse{}).GetAccount()
			want = append([]string{account.GetAccountId()}, want...)
		}
		req := &transfersv1.ListAccountsRequest{Currency: code, PageSize: 2, Status: transfersv1.Account_OPEN}
		var got []string
		for {
			page := mustCall(t, c, "AccountService/ListAccounts", req, &transfersv1.ListAccountsResponse{})
			for _, account := range page.GetAccounts() {
				got = append(got, account.GetAccountId())
			}
			if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
				break
			}
		}
		if len(got) != 6 { // with the currency's own account
			t.Fatalf("got %v, want %v and the equity account", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	})
}

func TestUpdateAccount(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		account := open(t, c, "10")
		update := func(changed *transfersv1.Account, paths ...string) *transfersv1.Account {
			t.Helper()
			changed.AccountId = account.GetAccountId()
			req := &transfersv1.UpdateAccountRequest{Account: changed, ExpectedVersion: proto.Int64(account.GetVersion())}
			if paths != nil {
				req.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
			}
			account = mustCall(t, c, "AccountService/UpdateAccount", req, &transfersv1.UpdateAccountResponse{}).GetAccount()
			return account
		}
		got := update(&transfersv1.Account{
			DisplayName: "n", ImageUrl: "http://x.test/", MinBalance: proto.String("-3.5"), Metadata: map[string]string{"k": "v"},
		})
		if got.GetDisplayName() != "n" || got.GetImageUrl() != "http://x.test/" || got.GetMinBalance() != "-3.50" || got.GetMetadata()["k"] != "v" {
			t.Fatalf("without a mask: %v", got)
		}
		got = update(&transfersv1.Account{DisplayName: "unused", Status: transfersv1.Account_FROZEN}, "status", "image_url", "metadata")
		if got.GetStatus() != transfersv1.Account_FROZEN || got.GetDisplayName() != "n" || got.GetImageUrl() != "" || len(got.GetMetadata()) != 0 {
			t.Fatalf("with a mask: %v", got)
		}
		got = update(&transfersv1.Account{Status: transfersv1.Account_OPEN, MinBalance: proto.String("0")}, "status", "min_balance")
		if got.GetStatus() != transfersv1.Account_OPEN || got.GetMinBalance() != "0.00" {
			t.Fatalf("back: %v", got)
		}
	})
}

func TestPatchTakesNumbersAndBothSpellings(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	account := open(t, f.protocol(t, "rest"), "10")
	for _, query := range []string{"?update_mask=min_balance,display_name&expected_version=", "?updateMask=minBalance,displayName&expectedVersion="} {
		version, _ := json.Marshal(account.GetVersion())
		res, text := f.send(t, http.MethodPatch, "/api/v1/accounts/"+account.GetAccountId()+query+string(version),
			`{"min_balance": -50.5, "displayName": "x"}`)
		var answer struct {
			MinBalance  string `json:"minBalance"`
			DisplayName string `json:"displayName"`
			Version     string `json:"version"`
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil || res.StatusCode != http.StatusOK || answer.MinBalance != "-50.50" || answer.DisplayName != "x" {
			t.Fatalf("%s: %d %s", query, res.StatusCode, text)
		}
		account = mustCall(t, f.protocol(t, "rest"), "AccountService/GetAccount",
			&transfersv1.GetAccountRequest{AccountId: account.GetAccountId()}, &transfersv1.GetAccountResponse{}).GetAccount()
	}
}

func TestCreateTransfer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		from, to := open(t, c, "100"), open(t, c, "")
		req := &transfersv1.CreateTransferRequest{
			TransferId: uuid.NewString(), FromAccountId: from.GetAccountId(), ToAccountId: to.GetAccountId(),
			Amount: "20.5", Currency: "USD", Reference: "r-" + c.name(), Metadata: map[string]string{"k": "v"},
		}
		res := mustCall(t, c, "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
		transfer := res.GetTransfer()
		want := &transfersv1.Transfer{
			TransferId: req.GetTransferId(), FromAccountId: from.GetAccountId(), ToAccountId: to.GetAccountId(), Amount: "20.50", Currency: "USD",
			Status: transfersv1.Transfer_SUCCESS, FromBalance: proto.String("79.50"), ToBalance: proto.String("20.50"), Reference: req.GetReference(),
			Metadata: req.GetMetadata(), CreateTime: transfer.GetCreateTime(), UpdateTime: transfer.GetUpdateTime(), Version: 1,
			Kind: transfersv1.Transfer_TRANSFER,
		}
		requireEqual(t, transfer, want)
		again := &transfersv1.CreateTransferResponse{}
		header, err := c.call(t.Context(), "TransferService/CreateTransfer", req, again)
		if err != nil || header.Get("Idempotency-Replayed") != "true" {
			t.Fatalf("replay: %v, headers %v", err, header)
		}
		requireEqual(t, again, res)
		read := mustCall(t, c, "TransferService/GetTransfer", &transfersv1.GetTransferRequest{TransferId: req.GetTransferId()}, &transfersv1.GetTransferResponse{})
		requireEqual(t, read.GetTransfer(), want)

		created := transfer.GetCreateTime().AsTime()
		list := mustCall(t, c, "TransferService/ListTransfers", &transfersv1.ListTransfersRequest{
			AccountId: to.GetAccountId(), Status: transfersv1.Transfer_SUCCESS, Currency: "USD", Reference: req.GetReference(), PageSize: 10,
			StartTime: timestamppb.New(created.Add(-1e9)), EndTime: timestamppb.New(created.Add(1e9)),
		}, &transfersv1.ListTransfersResponse{})
		requireEqual(t, list, &transfersv1.ListTransfersResponse{Transfers: []*transfersv1.Transfer{want}})

		entries := mustCall(t, c, "AccountService/ListEntries", &transfersv1.ListEntriesRequest{
			AccountId: from.GetAccountId(), Order: transfersv1.ListEntriesRequest_OLDEST_FIRST,
			StartTime: timestamppb.New(created.Add(-60e9)), EndTime: timestamppb.New(created.Add(1e9)),
		}, &transfersv1.ListEntriesResponse{}).GetEntries()
		if len(entries) != 2 || entries[0].GetAmount() != "100.00" {
			t.Fatalf("entries: %v", entries)
		}
		requireEqual(t, entries[1], &transfersv1.Entry{
			AccountId: from.GetAccountId(), Sequence: 2, TransferId: req.GetTransferId(), CounterpartyAccountId: to.GetAccountId(),
			Amount: "-20.50", Balance: "79.50", Currency: "USD", Reference: req.GetReference(), CreateTime: transfer.GetCreateTime(),
		})
	})
}

func TestLedgerMethods(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		req := &transfersv1.CreateCurrencyRequest{Code: "PTS", Scale: 18}
		created := &transfersv1.CreateCurrencyResponse{}
		if _, err := c.call(t.Context(), "LedgerService/CreateCurrency", req, created); err != nil {
			t.Fatal(err)
		}
		again := &transfersv1.CreateCurrencyResponse{}
		header, err := c.call(t.Context(), "LedgerService/CreateCurrency", req, again)
		if err != nil || header.Get("Idempotency-Replayed") != "true" {
			t.Fatalf("replay: %v, headers %v", err, header)
		}
		requireEqual(t, again, created)
		list := mustCall(t, c, "LedgerService/ListCurrencies", &transfersv1.ListCurrenciesRequest{PageSize: 100}, &transfersv1.ListCurrenciesResponse{})
		found := false
		for _, currency := range list.GetCurrencies() {
			found = found || proto.Equal(currency, created.GetCurrency())
		}
		if !found {
			t.Fatalf("%v is not in %v", created.GetCurrency(), list)
		}
		check := mustCall(t, c, "LedgerService/CheckLedger", &transfersv1.CheckLedgerRequest{}, &transfersv1.CheckLedgerResponse{})
		if !check.GetOk() || len(check.GetInvariants()) == 0 || check.GetCheckTime() == nil {
			t.Fatalf("check: %v", check)
		}
	})
}

// TestConnectGET reads over a plain GET, which caches understand.
func TestConnectGET(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	account := open(t, f.protocol(t, "grpc"), "1")
	message := url.QueryEscape(`{"accountId":"` + account.GetAccountId() + `"}`)
	res, text := f.send(t, http.MethodGet, "/transfers.v1.AccountService/GetAccount?connect=v1&encoding=json&message="+message, "")
	if res.StatusCode != http.StatusOK || !strings.Contains(text, `"balance":"1.00"`) {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	for _, path := range []string{"/healthcheck", "/readycheck"} {
		if res, text := f.send(t, http.MethodGet, path, ""); res.StatusCode != http.StatusOK || strings.TrimSpace(text) != `{"status":"ok"}` {
			t.Errorf("%s: %d %s", path, res.StatusCode, text)
		}
	}
	for service, want := range map[string]string{"": "SERVING", "transfers.v1.TransferService": "SERVING", "nonsense": "not_found"} {
		_, text := f.send(t, http.MethodPost, "/grpc.health.v1.Health/Check", `{"service":"`+service+`"}`)
		if !strings.Contains(text, want) {
			t.Errorf("%q: %s, want %s", service, text, want)
		}
	}
}

// TestLargestBatch sends as many transfers as one call takes, in JSON, within the default limit of
// a body.
func TestLargestBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "rest")
	a, b := open(t, c, "10000"), open(t, c, "")
	req := &transfersv1.BatchCreateTransfersRequest{Atomic: true}
	for range 10_000 {
		req.Transfers = append(req.Transfers, transferRequest(a, b, "1"))
	}
	results := mustCall(t, c, "TransferService/BatchCreateTransfers", req, &transfersv1.BatchCreateTransfersResponse{}).GetResults()
	for i, result := range results {
		if result.GetTransfer().GetTransferId() != req.GetTransfers()[i].GetTransferId() || result.GetTransfer().GetStatus() != transfersv1.Transfer_SUCCESS {
			t.Fatalf("%d: %v", i, result)
		}
	}
	if len(results) != 10_000 || results[9999].GetTransfer().GetFromBalance() != "0.00" {
		t.Errorf("%d results, the last %v", len(results), results[len(results)-1])
	}
}
