package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

func getStatus(t *testing.T, c client) *transfersv1.GetStatusResponse {
	t.Helper()
	return mustCall(t, c, "LedgerService/GetStatus", &transfersv1.GetStatusRequest{}, &transfersv1.GetStatusResponse{})
}

// totalsText spells totals for a comparison.
func totalsText(s *transfersv1.GetStatusResponse) string {
	var parts []string
	for _, t := range s.GetTotals() {
		parts = append(parts, fmt.Sprintf("%s %s %d", t.GetCurrency(), t.GetAmount(), t.GetAccountCount()))
	}
	return strings.Join(parts, ", ")
}

func TestGetStatus(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "connect+proto")
	if s := getStatus(t, c); len(s.GetTotals()) != 0 || s.CheckTime != nil || s.GetCheckOk() || s.GetReadTime() == nil {
		t.Errorf("of an empty ledger: %v", s)
	}
	for _, p := range []*transfersv1.CreateAccountRequest{{InitialBalance: "12.5"}, {}, {Currency: "JPY", InitialBalance: "7"}} {
		mustCall(t, c, "AccountService/CreateAccount", p, &transfersv1.CreateAccountResponse{})
	}
	check := mustCall(t, c, "LedgerService/CheckLedger", &transfersv1.CheckLedgerRequest{}, &transfersv1.CheckLedgerResponse{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		s := getStatus(t, c)
		// Results that other calls have read just before are reused for a moment.
		for !s.GetReadTime().AsTime().After(check.GetCheckTime().AsTime()) || s.CheckTime == nil {
			s = getStatus(t, c)
		}
		if got, want := totalsText(s), "JPY 7 1, USD 12.50 2"; got != want {
			t.Errorf("totals: got %q, want %q", got, want)
		}
		if !s.GetCheckOk() || s.GetCheckIncremental() || len(s.GetBrokenInvariants()) != 0 ||
			!s.GetCheckTime().AsTime().Equal(check.GetCheckTime().AsTime()) {
			t.Errorf("the last proof: got %v, want that of %v", s, check.GetCheckTime())
		}
	})
}

func TestGetActivity(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "connect+proto")
	a := mustCall(t, c, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{InitialBalance: "10"}, &transfersv1.CreateAccountResponse{})
	b := mustCall(t, c, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{}, &transfersv1.CreateAccountResponse{})
	pay := func(amount string, hold bool) *connect.Error {
		_, err := c.call(t.Context(), "TransferService/CreateTransfer", &transfersv1.CreateTransferRequest{
			FromAccountId: a.GetAccount().GetAccountId(), ToAccountId: b.GetAccount().GetAccountId(), Amount: amount, Hold: hold,
		}, &transfersv1.CreateTransferResponse{})
		return err
	}
	for _, p := range []struct {
		amount string
		hold   bool
		want   connect.Code
	}{{"1.25", false, 0}, {"2", true, 0}, {"99", false, connect.CodeFailedPrecondition}, {"99", true, connect.CodeFailedPrecondition}} {
		if err := pay(p.amount, p.hold); (err == nil) != (p.want == 0) || (err != nil && err.Code() != p.want) {
			t.Fatalf("%+v: %v", p, err)
		}
	}
	eachProtocol(t, f, func(t *testing.T, c client) {
		for _, request := range []*transfersv1.GetActivityRequest{
			{}, {Window: durationpb.New(90 * time.Second), Step: durationpb.New(3 * time.Second)},
			{Window: durationpb.New(time.Hour)}, {Step: durationpb.New(time.Minute), Window: durationpb.New(10 * time.Minute)},
		} {
			requireActivity(t, c, request)
		}
		for field, request := range map[string]*transfersv1.GetActivityRequest{
			"window":   {Window: durationpb.New(time.Hour + 1)},
			"window ":  {Window: durationpb.New(-time.Second)},
			"window  ": {Window: &durationpb.Duration{}},
			"step":     {Step: durationpb.New(1500 * time.Millisecond)},
			"step ":    {Step: durationpb.New(301 * time.Second)},
			"step  ":   {Window: durationpb.New(time.Hour), Step: durationpb.New(time.Second)},
		} {
			_, err := c.call(t.Context(), "LedgerService/GetActivity", request, &transfersv1.GetActivityResponse{})
			if err == nil || err.Code() != connect.CodeInvalidArgument || !strings.Contains(err.Message(), strings.TrimSpace(field)) {
				t.Errorf("%v: got %v, want invalid_argument of %s", request, err, field)
			}
		}
	})
	for _, query := range []string{"window=60", "window=", "window=1m", "step=%00", "step=1e3s", "window=60s&window=60s", "step.seconds=1"} {
		if answer, body := f.send(t, "GET", "/api/v1/activity?"+query, ""); answer.StatusCode != 400 {
			t.Errorf("%s: %d %s", query, answer.StatusCode, body)
		}
	}
}

// requireActivity polls until the response has what was made, as results of other calls are reused
// for a moment.
func requireActivity(t *testing.T, c client, request *transfersv1.GetActivityRequest) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const want = "2 moved, 1 pending, INSUFFICIENT_FUNDS 2, USD 11.25"
	for got := ""; got != want; {
		answer := &transfersv1.GetActivityResponse{}
		if _, err := c.call(ctx, "LedgerService/GetActivity", request, answer); err != nil {
			t.Fatalf("%v: %v; before, it returned %q, not %q", request, err, got, want)
		}
		got = activityText(answer)
		if n := len(answer.GetSteps()); n == 0 || n > 120 || answer.GetStep().AsDuration() < time.Second {
			t.Fatalf("%v: %d steps of %v", request, n, answer.GetStep())
		}
	}
}

// activityText spells the sums of all steps. Only USD moves, with two decimals.
func activityText(a *transfersv1.GetActivityResponse) string {
	var success, pending, refused, cents int64
	for _, s := range a.GetSteps() {
		success, pending = success+s.GetSuccessCount(), pending+s.GetInitCount()
		for _, r := range s.GetRefusals() {
			if r.GetReason() == transfersv1.Transfer_INSUFFICIENT_FUNDS {
				refused += r.GetCount()
			}
		}
		for _, v := range s.GetVolumes() {
			var whole, part int64
			if _, err := fmt.Sscanf(v.GetAmount(), "%d.%02d", &whole, &part); err != nil || v.GetCurrency() != "USD" {
				return v.String()
			}
			cents += 100*whole + part
		}
	}
	return fmt.Sprintf("%d moved, %d pending, INSUFFICIENT_FUNDS %d, USD %d.%02d", success, pending, refused, cents/100, cents%100)
}

func TestListAccountsSearch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "connect+proto")
	for i, name := range []string{"Zoë Quinn", "quinn's GARAGE", "👋 Wave"} {
		mustCall(t, c, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{
			AccountId: fmt.Sprintf("badc0de%d-5d70-4c3e-9d3f-6f2f8c1f7a01", i), DisplayName: name,
		}, &transfersv1.CreateAccountResponse{})
	}
	eachProtocol(t, f, func(t *testing.T, c client) {
		for search, want := range map[string]int{
			"QUINN": 2, "zoë": 1, "ZOË q": 1, "garage quinn": 1, "👋": 1, "badc0de": 3, "badc0de1-5d70": 1, "nobody": 0,
			"' & | ! ( ) : * \\": 0, "':*": 0, "!!": 0, "\\": 0, "%": 0, strings.Repeat("é", 100): 0, strings.Repeat("' ", 50): 0,
			"a' OR 1=1 --": 0, "🐟🐟": 0, "\ufeff": 0, "\t": 0,
		} {
			request := &transfersv1.ListAccountsRequest{Search: search, Currency: "USD", Status: transfersv1.Account_OPEN}
			answer := mustCall(t, c, "AccountService/ListAccounts", request, &transfersv1.ListAccountsResponse{})
			if len(answer.GetAccounts()) != want {
				t.Errorf("%q: got %v, want %d", search, answer.GetAccounts(), want)
			}
		}
		first := mustCall(t, c, "AccountService/ListAccounts", &transfersv1.ListAccountsRequest{Search: "quinn", PageSize: 1}, &transfersv1.ListAccountsResponse{})
		if len(first.GetAccounts()) != 1 || first.GetNextPageToken() == "" {
			t.Fatalf("the first page: %v", first)
		}
		for _, request := range []*transfersv1.ListAccountsRequest{
			{Search: "wave", PageToken: first.GetNextPageToken()}, {PageToken: first.GetNextPageToken()},
			{Search: strings.Repeat("x", 101)}, {Search: "a\x00b"},
		} {
			_, err := c.call(t.Context(), "AccountService/ListAccounts", request, &transfersv1.ListAccountsResponse{})
			if err == nil || err.Code() != connect.CodeInvalidArgument {
				t.Errorf("%v: got %v, want invalid_argument", request, err)
			}
		}
	})
}
