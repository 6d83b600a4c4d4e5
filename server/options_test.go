package server_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

func TestGroupIsReadBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		held := transferRequest(b, a, "3")
		held.Hold = true
		req := &transfersv1.BatchCreateTransfersRequest{
			Atomic: true, GroupId: uuid.NewString(), Transfers: []*transfersv1.CreateTransferRequest{transferRequest(a, b, "5"), held},
		}
		results := mustCall(t, c, "TransferService/BatchCreateTransfers", req, &transfersv1.BatchCreateTransfersResponse{}).GetResults()
		for i, status := range []transfersv1.Transfer_Status{transfersv1.Transfer_SUCCESS, transfersv1.Transfer_INIT} {
			if got := results[i].GetTransfer(); got.GetStatus() != status || got.GetGroupId() != req.GetGroupId() {
				t.Errorf("%d: %v", i, got)
			}
		}
		first, second := req.GetTransfers()[0].GetTransferId(), held.GetTransferId()
		requireListed(t, c, &transfersv1.ListTransfersRequest{GroupId: req.GetGroupId()}, second, first)
		requireListed(t, c, &transfersv1.ListTransfersRequest{GroupId: req.GetGroupId(), Status: transfersv1.Transfer_SUCCESS}, first)
		requireListed(t, c, &transfersv1.ListTransfersRequest{GroupId: uuid.Max.String()})
		again := mustCall(t, c, "TransferService/BatchCreateTransfers", req, &transfersv1.BatchCreateTransfersResponse{}).GetResults()
		for i := range again {
			if !again[i].GetReplayed() || !proto.Equal(again[i].GetTransfer(), results[i].GetTransfer()) {
				t.Errorf("again %d: %v, first %v", i, again[i], results[i])
			}
		}

		refused := &transfersv1.BatchCreateTransfersRequest{Atomic: true, Transfers: []*transfersv1.CreateTransferRequest{
			transferRequest(a, b, "90"), transferRequest(a, b, "90"),
		}}
		results = mustCall(t, c, "TransferService/BatchCreateTransfers", refused, &transfersv1.BatchCreateTransfersResponse{}).GetResults()
		if got := results[0].GetTransfer(); got.GetErrorReason() != transfersv1.Transfer_GROUP_FAILED || uuid.Validate(got.GetGroupId()) != nil {
			t.Errorf("%v", got)
		}
		if got := results[1].GetTransfer(); got.GetErrorReason() != transfersv1.Transfer_INSUFFICIENT_FUNDS ||
			got.GetErrorMetadata()["seen"] != "5.00" || got.GetErrorMetadata()["allowed"] != "0.00" {
			t.Errorf("%v", got)
		}
	})
}

func TestUpTo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		req := transferRequest(a, b, "500")
		req.UpTo = true
		res := mustCall(t, c, "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
		if got := res.GetTransfer(); got.GetAmount() != "100.00" || got.GetRequestedAmount() != "500.00" || got.GetStatus() != transfersv1.Transfer_SUCCESS {
			t.Errorf("%v", got)
		}
		requireReplay(t, c, "TransferService/CreateTransfer", req, res)
		req.TransferId = uuid.NewString()
		requireFailure(t, c, "TransferService/CreateTransfer", req, connect.CodeFailedPrecondition, "INSUFFICIENT_FUNDS", "seen", "0.00", "allowed", "0.00")
	})
}

// TestSweepDrawsNoOverdraft: what is available is what a sweep takes, unless it names another
// floor.
func TestSweepDrawsNoOverdraft(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a := mustCall(t, c, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{InitialBalance: "10", MinBalance: "-100"},
			&transfersv1.CreateAccountResponse{}).GetAccount()
		b := open(t, c, "")
		sweep := func(floor *string) *transfersv1.CreateTransferRequest {
			req := transferRequest(a, b, "1000")
			req.UpTo, req.UpToFloor = true, floor
			return req
		}
		if a.GetAvailable() != "10.00" {
			t.Errorf("%v", a)
		}
		if got := create(t, c, sweep(proto.String("2.50"))); got.GetAmount() != "7.50" || got.GetUpToFloor() != "2.50" || got.GetRequestedAmount() != "1000.00" {
			t.Errorf("%v", got)
		}
		if got := create(t, c, sweep(nil)); got.GetAmount() != "2.50" || got.UpToFloor != nil || got.GetFromBalance() != "0.00" {
			t.Errorf("%v", got)
		}
		requireFailure(t, c, "TransferService/CreateTransfer", sweep(proto.String("20")), connect.CodeFailedPrecondition, "INSUFFICIENT_FUNDS", "seen", "0.00", "allowed", "20.00")
		req := sweep(proto.String("-30"))
		res := mustCall(t, c, "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
		if res.GetTransfer().GetAmount() != "30.00" {
			t.Errorf("%v", res)
		}
		requireReplay(t, c, "TransferService/CreateTransfer", req, res)
		req.UpToFloor = proto.String("-31")
		requireFailure(t, c, "TransferService/CreateTransfer", req, connect.CodeAlreadyExists, "TRANSFER_ALREADY_EXISTS", "transfer_id", req.GetTransferId())
		if got := create(t, c, sweep(proto.String("-5000"))); got.GetAmount() != "70.00" || got.GetFromBalance() != "-100.00" {
			t.Errorf("%v", got)
		}

		alone := transferRequest(a, b, "1")
		alone.UpToFloor = proto.String("0")
		wrong := []*transfersv1.CreateTransferRequest{alone}
		for _, floor := range []string{"", "x", "1e5", "0.001", "+1", strings.Repeat("9", 39)} {
			wrong = append(wrong, sweep(proto.String(floor)))
		}
		for _, req := range wrong {
			_, failed := c.call(t.Context(), "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
			requireField(t, failed, "up_to_floor")
		}
	})
}

func TestEffectiveTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		req := transferRequest(a, b, "5")
		req.EffectiveTime = timestamppb.New(time.Date(2020, 2, 29, 1, 2, 3, 4000, time.UTC))
		requireEqual(t, create(t, c, req).GetEffectiveTime(), req.GetEffectiveTime())
		entries := mustCall(t, c, "AccountService/ListEntries", &transfersv1.ListEntriesRequest{AccountId: b.GetAccountId()}, &transfersv1.ListEntriesResponse{}).GetEntries()
		requireEqual(t, entries[0].GetEffectiveTime(), req.GetEffectiveTime())
		create(t, c, transferRequest(a, b, "1"))
		entries = mustCall(t, c, "AccountService/ListEntries", &transfersv1.ListEntriesRequest{AccountId: b.GetAccountId()}, &transfersv1.ListEntriesResponse{}).GetEntries()
		if entries[0].GetEffectiveTime() != nil {
			t.Errorf("a plain transfer: %v", entries[0])
		}
	})
}

func TestConditions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "7")
		met := transferRequest(a, b, "1")
		met.ExpectedFromVersion, met.ExpectedToVersion = proto.Int64(a.GetVersion()), proto.Int64(b.GetVersion())
		met.FromBalanceAtLeast, met.FromBalanceAtMost = proto.String("100"), proto.String("100.00")
		met.ToBalanceAtLeast, met.ToBalanceAtMost = proto.String("-5"), proto.String("7")
		res := mustCall(t, c, "TransferService/CreateTransfer", met, &transfersv1.CreateTransferResponse{})
		requireReplay(t, c, "TransferService/CreateTransfer", met, res)
		version := strconv.FormatInt(a.GetVersion()+1, 10)
		cases := []struct {
			set      func(*transfersv1.CreateTransferRequest)
			account  *transfersv1.Account
			metadata []string
		}{
			{func(r *transfersv1.CreateTransferRequest) { r.FromBalanceAtLeast = proto.String("99.01") }, a, []string{"seen", "99.00", "allowed", "99.01", "condition", "at least"}},
			{func(r *transfersv1.CreateTransferRequest) { r.FromBalanceAtMost = proto.String("98.99") }, a, []string{"seen", "99.00", "allowed", "98.99", "condition", "at most"}},
			{func(r *transfersv1.CreateTransferRequest) { r.ToBalanceAtLeast = proto.String("9") }, b, []string{"seen", "8.00", "allowed", "9.00", "condition", "at least"}},
			{func(r *transfersv1.CreateTransferRequest) { r.ToBalanceAtMost = proto.String("0") }, b, []string{"seen", "8.00", "allowed", "0.00", "condition", "at most"}},
			{func(r *transfersv1.CreateTransferRequest) { r.ExpectedFromVersion = proto.Int64(a.GetVersion()) }, a, []string{"seen", version, "allowed", strconv.FormatInt(a.GetVersion(), 10)}},
			{func(r *transfersv1.CreateTransferRequest) { r.ExpectedToVersion = proto.Int64(77) }, b, []string{"allowed", "77"}},
		}
		for _, tc := range cases {
			req := transferRequest(a, b, "1")
			tc.set(req)
			code, reason := connect.CodeFailedPrecondition, "BALANCE_CONDITION_FAILED"
			if req.ExpectedFromVersion != nil || req.ExpectedToVersion != nil {
				code, reason = connect.CodeAborted, "VERSION_MISMATCH"
			}
			requireRefusal(t, c, req, code, reason, append(tc.metadata, "account_id", tc.account.GetAccountId())...)
		}
		requireBalances(t, c, b, "8.00 8.00 0.00 0.00")
	})
}

// requireRefusal makes a transfer that must be refused, with these figures in the error and in the
// record.
func requireRefusal(t *testing.T, c client, req *transfersv1.CreateTransferRequest, code connect.Code, reason string, figures ...string) {
	t.Helper()
	text := requireFailure(t, c, "TransferService/CreateTransfer", req, code, reason, append(figures, "transfer_id", req.GetTransferId())...)
	header, again := c.call(t.Context(), "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
	requireInfo(t, again, code, reason, figures...)
	if header.Get("Idempotency-Replayed") != "true" || again.Message() != text {
		t.Errorf("%s again: %v, first %s, headers %v", reason, again, text, header)
	}
	recorded := getTransfer(t, c, req.GetTransferId())
	if recorded.GetStatus() != transfersv1.Transfer_FAILED || recorded.GetErrorReason().String() != reason || len(recorded.GetErrorMetadata()) < len(figures)/2 {
		t.Errorf("%s is recorded as %v", reason, recorded)
	}
	for i := 0; i < len(figures); i += 2 {
		if got := recorded.GetErrorMetadata()[figures[i]]; got != figures[i+1] {
			t.Errorf("%s: error_metadata %s = %q, want %q", reason, figures[i], got, figures[i+1])
		}
	}
}

// TestValidateOnly previews every method here that changes something, and finds everything
// unchanged.
func TestValidateOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		held := hold(t, c, a, b, "30").GetTransferId()
		paid := create(t, c, transferRequest(a, b, "10")).GetTransferId()
		before, balancesBefore := f.counts(t), balances(t, c, a)
		heldBefore, paidBefore := getTransfer(t, c, held), getTransfer(t, c, paid)

		req := transferRequest(a, b, "60")
		req.ValidateOnly = true
		if got := create(t, c, req); got.GetStatus() != transfersv1.Transfer_SUCCESS || got.GetFromBalance() != "30.00" || got.GetTransferId() != req.GetTransferId() {
			t.Errorf("%v", got)
		}
		req.Amount = "60.01"
		text := requireFailure(t, c, "TransferService/CreateTransfer", req, connect.CodeFailedPrecondition, "INSUFFICIENT_FUNDS", "seen", "60.00")
		if !strings.Contains(text, "would be refused") {
			t.Error(text)
		}
		req.Amount, req.Hold, req.HoldTtl = "60", true, durationpb.New(time.Second)
		if got := create(t, c, req); got.GetStatus() != transfersv1.Transfer_INIT || got.GetHeldAmount() != "60.00" {
			t.Errorf("%v", got)
		}
		// The second item has its money from the first.
		results := mustCall(t, c, "TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{
			ValidateOnly: true, Transfers: []*transfersv1.CreateTransferRequest{transferRequest(a, b, "60"), transferRequest(b, a, "70"), transferRequest(b, a, "1")},
		}, &transfersv1.BatchCreateTransfersResponse{}).GetResults()
		for i, want := range []string{"SUCCESS", "SUCCESS", "FAILED"} {
			if got := results[i].GetTransfer().GetStatus().String(); got != want {
				t.Errorf("%d: %v, want %s", i, results[i], want)
			}
		}
		posted := post(t, c, &transfersv1.PostTransferRequest{TransferId: held, Amount: "10", ValidateOnly: true})
		if posted.GetTransfer().GetPostedAmount() != "10.00" || posted.GetCapture().GetFromBalance() != "80.00" {
			t.Errorf("%v", posted)
		}
		voided := mustCall(t, c, "TransferService/VoidTransfer", &transfersv1.VoidTransferRequest{TransferId: held, ValidateOnly: true}, &transfersv1.VoidTransferResponse{})
		if voided.GetTransfer().GetErrorReason() != transfersv1.Transfer_VOIDED {
			t.Errorf("%v", voided)
		}
		reversal := reverse(t, c, &transfersv1.ReverseTransferRequest{TransferId: paid, ValidateOnly: true})
		if reversal.GetAmount() != "10.00" || reversal.GetToBalance() != "100.00" {
			t.Errorf("%v", reversal)
		}
		requireFailure(t, c, "TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: paid, Amount: "10.01", ValidateOnly: true},
			connect.CodeFailedPrecondition, "ALREADY_REVERSED")
		requireAccountPreviews(t, c, a)
		if after := f.counts(t); after != before || balances(t, c, a) != balancesBefore {
			t.Errorf("%v %s, before %v %s", after, balances(t, c, a), before, balancesBefore)
		}
		requireEqual(t, getTransfer(t, c, held), heldBefore)
		requireEqual(t, getTransfer(t, c, paid), paidBefore)
	})
}

// requireAccountPreviews previews accounts and currencies.
func requireAccountPreviews(t *testing.T, c client, a *transfersv1.Account) {
	t.Helper()
	before := getAccount(t, c, a.GetAccountId())
	update := &transfersv1.UpdateAccountRequest{Account: &transfersv1.Account{AccountId: a.GetAccountId(), MaxBalance: proto.String("90")}, ValidateOnly: true}
	updated := mustCall(t, c, "AccountService/UpdateAccount", update, &transfersv1.UpdateAccountResponse{}).GetAccount()
	if updated.GetMaxBalance() != "90.00" {
		t.Errorf("%v", updated)
	}
	update.Account.MaxBalance = proto.String("89.99")
	requireFailure(t, c, "AccountService/UpdateAccount", update, connect.CodeFailedPrecondition, "MAX_BALANCE_EXCEEDED")
	requireEqual(t, getAccount(t, c, a.GetAccountId()), before)

	opening := &transfersv1.CreateAccountRequest{AccountId: uuid.NewString(), InitialBalance: "5", MaxBalance: proto.String("5"), ValidateOnly: true}
	opened := mustCall(t, c, "AccountService/CreateAccount", opening, &transfersv1.CreateAccountResponse{}).GetAccount()
	if opened.GetAccountId() != opening.GetAccountId() || opened.GetBalance() != "5.00" || opened.GetMaxBalance() != "5.00" {
		t.Errorf("%v", opened)
	}
	requireFailure(t, c, "AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: opening.GetAccountId()}, connect.CodeNotFound, "ACCOUNT_NOT_FOUND")
	adding := &transfersv1.CreateCurrencyRequest{Code: "PREVIEW", Scale: 3, ValidateOnly: true}
	added := mustCall(t, c, "LedgerService/CreateCurrency", adding, &transfersv1.CreateCurrencyResponse{}).GetCurrency()
	if added.GetCode() != "PREVIEW" || added.GetScale() != 3 {
		t.Errorf("%v", added)
	}
}
