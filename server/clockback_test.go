package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

// TestExpiredHoldIsShownAsSuch: account, hold and list agree that a hold has expired before
// anything has settled it.
func TestExpiredHoldIsShownAsSuch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		f.advanceClock(t, 0)
		a, b := open(t, c, "100"), open(t, c, "")
		req := transferRequest(a, b, "10")
		req.Hold, req.HoldTtl = true, durationpb.New(30*time.Minute)
		held := create(t, c, req)
		require := func(amount, balances string) {
			t.Helper()
			got := mustCall(t, c, "TransferService/GetTransfer", &transfersv1.GetTransferRequest{TransferId: held.GetTransferId()}, &transfersv1.GetTransferResponse{}).GetTransfer()
			list := mustCall(t, c, "TransferService/ListTransfers", &transfersv1.ListTransfersRequest{AccountId: a.GetAccountId(), Status: transfersv1.Transfer_INIT}, &transfersv1.ListTransfersResponse{})
			if got.GetHeldAmount() != amount || got.GetStatus() != transfersv1.Transfer_INIT || len(list.GetTransfers()) != 1 {
				t.Errorf("%v, listed %v", got, list)
			} else {
				requireEqual(t, list.GetTransfers()[0], got)
			}
			requireBalances(t, c, a, balances)
		}
		require("10.00", "100.00 90.00 10.00 0.00")
		f.advanceClock(t, time.Hour)
		require("0.00", "100.00 100.00 0.00 0.00")
		f.advanceClock(t, 0)
	})
}

// TestClockSetBack: the balance as of now and the default statement include every transfer,
// whatever the database's clock says.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "connect+json")
	a, b := open(t, c, "1000"), open(t, c, "")
	// Time passes between the changes of one batch's accounts.
	f.setClock(t, "clock_timestamp() + interval '1 ms' * nextval('tick')", "CREATE SEQUENCE tick",
		"GRANT USAGE ON SEQUENCE tick TO PUBLIC")
	create(t, c, transferRequest(a, b, "80"))
	create(t, c, transferRequest(b, a, "10"))
	f.advanceClock(t, -time.Hour)
	got := mustCall(t, c, "AccountService/GetAccount", &transfersv1.GetAccountRequest{
		AccountId: a.GetAccountId(), AsOf: timestamppb.New(time.Now().Add(-time.Hour)),
	}, &transfersv1.GetAccountResponse{}).GetAccount()
	if got.GetBalance() != "930.00" {
		t.Errorf("as of now: %v", got)
	}
	req := &transfersv1.GetStatementRequest{AccountId: a.GetAccountId(), StartTime: a.GetCreateTime()}
	statement := mustCall(t, c, "AccountService/GetStatement", req, &transfersv1.GetStatementResponse{})
	if statement.GetStatement().GetClosingBalance() != "930.00" || len(statement.GetEntries()) != 3 {
		t.Errorf("%v", statement)
	}
	if _, text := f.send(t, http.MethodGet, csvPath(req), ""); strings.Count(text, "\r\nentry,") != 3 {
		t.Errorf("the file is %q", text)
	}
}
