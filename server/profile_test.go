package server_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/server"
)

// TestGetProfiles: in the order of the request, without those that do not exist, and as new as the
// last update, over every protocol, by a ledger with a cache and by one without.
func TestGetProfiles(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"read": 0, "cached": 10} {
		t.Run(name, func(t *testing.T) {
			l := openLedger(t, postgres.Config{DatabaseURL: pgtest.NewDatabase(t), ProfileCache: size})
			f := serve(t, server.Config{Ledger: l})
			eachProtocol(t, f, func(t *testing.T, c client) {
				first := mustCall(t, c, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{
					Currency: "JPY", InitialBalance: "5", DisplayName: "Zoë 🐟", ImageUrl: "https://example.com/z.png",
					Metadata: map[string]string{"a": "1", "b": ""},
				}, &transfersv1.CreateAccountResponse{}).GetAccount()
				second := open(t, c, "")
				req := &transfersv1.GetProfilesRequest{AccountIds: []string{
					second.GetAccountId(), uuid.NewString(), strings.ToUpper(first.GetAccountId()), second.GetAccountId(), uuid.Max.String(),
				}}
				want := &transfersv1.GetProfilesResponse{Profiles: []*transfersv1.Profile{
					profileOf(second), profileOf(first), profileOf(second),
				}}
				for range 2 {
					requireEqual(t, mustCall(t, c, "AccountService/GetProfiles", req, &transfersv1.GetProfilesResponse{}), want)
				}
				second = mustCall(t, c, "AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{Account: &transfersv1.Account{
					AccountId: second.GetAccountId(), DisplayName: "now", Metadata: map[string]string{"k": "v"},
				}}, &transfersv1.UpdateAccountResponse{}).GetAccount()
				want.Profiles = []*transfersv1.Profile{profileOf(second), profileOf(first), profileOf(second)}
				requireEqual(t, mustCall(t, c, "AccountService/GetProfiles", req, &transfersv1.GetProfilesResponse{}), want)
				req.AccountIds = []string{uuid.NewString()}
				requireEqual(t, mustCall(t, c, "AccountService/GetProfiles", req, &transfersv1.GetProfilesResponse{}), &transfersv1.GetProfilesResponse{})
				req.AccountIds = slices.Repeat([]string{first.GetAccountId()}, 1000)
				if got := mustCall(t, c, "AccountService/GetProfiles", req, &transfersv1.GetProfilesResponse{}); len(got.GetProfiles()) != 1000 {
					t.Errorf("%d profiles, want 1,000", len(got.GetProfiles()))
				}
			})
		})
	}
}

// profileOf returns the public profile of the account.
func profileOf(a *transfersv1.Account) *transfersv1.Profile {
	return &transfersv1.Profile{
		AccountId: a.GetAccountId(), Currency: a.GetCurrency(), DisplayName: a.GetDisplayName(), ImageUrl: a.GetImageUrl(),
		Metadata: a.GetMetadata(),
	}
}

// TestProfilesByCurl: the route as it is written by hand, in both spellings.
func TestProfilesByCurl(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	a, b := open(t, f.protocol(t, "rest"), "10"), open(t, f.protocol(t, "rest"), "")
	for _, name := range []string{"account_ids", "accountIds"} {
		res, text := f.send(t, http.MethodGet, "/api/v1/profiles?"+name+"="+b.GetAccountId()+"&"+name+"="+a.GetAccountId(), "")
		var answer struct {
			Profiles []map[string]any `json:"profiles"`
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil || res.StatusCode != http.StatusOK || len(answer.Profiles) != 2 ||
			answer.Profiles[0]["accountId"] != b.GetAccountId() || answer.Profiles[1]["accountId"] != a.GetAccountId() {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
		for _, secret := range []string{"balance", "available", "version"} {
			if strings.Contains(text, secret) {
				t.Errorf("a profile has %s: %s", secret, text)
			}
		}
	}
}

func TestHostileProfiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	id := open(t, f.protocol(t, "grpc"), "").GetAccountId()
	for name, ids := range map[string][]string{
		"none": nil, "too many": slices.Repeat([]string{id}, 1001), "empty": {id, ""}, "no UUID": {id, "x"}, "braces": {"{" + id + "}"},
		"NUL": {id + "\x00"}, "spaces": {" " + id}, "no dashes": {strings.ReplaceAll(id, "-", "")}, "SQL": {"' OR true --"},
	} {
		eachProtocol(t, f, func(t *testing.T, c client) {
			_, failed := c.call(t.Context(), "AccountService/GetProfiles", &transfersv1.GetProfilesRequest{AccountIds: ids}, &transfersv1.GetProfilesResponse{})
			if failed == nil || failed.Code().String() != "invalid_argument" || !strings.Contains(failed.Message(), "account_ids") {
				t.Errorf("%s: %v", name, failed)
			}
		})
	}
	path := "/api/v1/profiles?account_ids=" + id
	for _, tc := range []struct {
		method, path, body string
		status             int
		field              string
	}{
		{"GET", "/api/v1/profiles", "", 400, "account_ids"},
		{"GET", "/api/v1/profiles?account_ids=", "", 400, "account_ids"},
		{"GET", path + "," + id, "", 400, "account_ids"},
		{"GET", path + "&accountIds=" + id, "", 400, "account_ids"},
		{"GET", path + "&account_ids=%ff", "", 400, "account_ids"},
		{"GET", path + "&account_ids=%00", "", 400, "account_ids"},
		{"GET", path + "&account_ids[]=" + id, "", 400, "account_ids[]"},
		{"GET", path + "&account_id=" + id, "", 400, "account_id"},
		{"GET", path + strings.Repeat("&account_ids="+id, 1000), "", 400, "account_ids"},
		{"GET", path, `{}`, 400, ""},
		{"POST", path, `{}`, 405, "GET"},
	} {
		res, text := f.send(t, tc.method, tc.path, tc.body)
		if res.StatusCode != tc.status {
			t.Errorf("%s %.200s: status %d, want %d: %s", tc.method, tc.path, res.StatusCode, tc.status, text)
		}
		requireClientError(t, res, text, tc.field)
	}
	for _, body := range []string{`{"accountIds": "` + id + `"}`, `{"accountIds": [1]}`, `{"accountIds": [null]}`, `{"accountIds": [["` + id + `"]]}`, `{"ids": []}`} {
		res, text := f.send(t, http.MethodPost, "/transfers.v1.AccountService/GetProfiles", body)
		requireClientError(t, res, text, "ids")
	}
}

// TestCreationValidateOnly previews what would be made, over every protocol, and finds nothing
// made.
func TestCreationValidateOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	code := "NEWA"
	eachProtocol(t, f, func(t *testing.T, c client) {
		account := &transfersv1.CreateAccountRequest{
			AccountId: uuid.NewString(), Currency: "EUR", InitialBalance: "12.5", MinBalance: "-5", MaxBalance: proto.String("20"),
			DisplayName: "x", Metadata: map[string]string{"a": "1"}, ValidateOnly: true,
		}
		currency := &transfersv1.CreateCurrencyRequest{Code: code, Scale: 3, ValidateOnly: true}
		code = code[:3] + string(code[3]+1)
		before := f.counts(t)
		dryAccount, dryCurrency := &transfersv1.CreateAccountResponse{}, &transfersv1.CreateCurrencyResponse{}
		for range 2 {
			header, err := c.call(t.Context(), "AccountService/CreateAccount", account, dryAccount)
			if err != nil || header.Get("Idempotency-Replayed") != "" {
				t.Fatalf("%v, headers %v", err, header)
			}
			if header, err = c.call(t.Context(), "LedgerService/CreateCurrency", currency, dryCurrency); err != nil || header.Get("Idempotency-Replayed") != "" {
				t.Fatalf("%v, headers %v", err, header)
			}
		}
		if after := f.counts(t); after != before {
			t.Errorf("a dry run left something: %v, before %v", after, before)
		}
		account.ValidateOnly, currency.ValidateOnly = false, false
		made := mustCall(t, c, "AccountService/CreateAccount", account, &transfersv1.CreateAccountResponse{})
		dryAccount.Account.CreateTime, dryAccount.Account.UpdateTime = made.GetAccount().GetCreateTime(), made.GetAccount().GetUpdateTime()
		requireEqual(t, dryAccount, made)
		added := mustCall(t, c, "LedgerService/CreateCurrency", currency, &transfersv1.CreateCurrencyResponse{})
		dryCurrency.Currency.CreateTime, dryCurrency.Currency.EquityAccountId = added.GetCurrency().GetCreateTime(), added.GetCurrency().GetEquityAccountId()
		requireEqual(t, dryCurrency, added)

		account.ValidateOnly, currency.ValidateOnly = true, true
		header, err := c.call(t.Context(), "AccountService/CreateAccount", account, dryAccount)
		if err != nil || header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("again: %v, headers %v", err, header)
		}
		requireEqual(t, dryAccount, made)
		if header, err = c.call(t.Context(), "LedgerService/CreateCurrency", currency, dryCurrency); err != nil || header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("again: %v, headers %v", err, header)
		}
		requireEqual(t, dryCurrency, added)
		account.InitialBalance, currency.Scale = "12.51", 4
		if _, err = c.call(t.Context(), "AccountService/CreateAccount", account, dryAccount); err == nil || err.Code().String() != "already_exists" {
			t.Errorf("another account: %v", err)
		}
		if _, err = c.call(t.Context(), "LedgerService/CreateCurrency", currency, dryCurrency); err == nil || err.Code().String() != "already_exists" {
			t.Errorf("another currency: %v", err)
		}
	})
}
