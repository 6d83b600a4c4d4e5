package server_test

import (
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

// importRequest returns a request for transfers of 1 that take effect at these seconds of 2020.
func importRequest(from, to *transfersv1.Account, seconds ...int64) *transfersv1.ImportTransfersRequest {
	req := &transfersv1.ImportTransfersRequest{}
	for _, second := range seconds {
		item := transferRequest(from, to, "1")
		item.EffectiveTime = timestamppb.New(time.Date(2020, 1, 1, 0, 0, int(second), 0, time.UTC))
		req.Transfers = append(req.Transfers, item)
	}
	return req
}

func imported(t *testing.T, c client, req *transfersv1.ImportTransfersRequest) []*transfersv1.TransferResult {
	t.Helper()
	return mustCall(t, c, "TransferService/ImportTransfers", req, &transfersv1.ImportTransfersResponse{}).GetResults()
}

func TestImportTransfers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "10"), open(t, c, "")
		req := importRequest(a, b, 10, 10, 20)
		dry := proto.CloneOf(req)
		dry.ValidateOnly = true
		for i, result := range imported(t, c, dry) {
			if result.GetTransfer().GetStatus() != transfersv1.Transfer_SUCCESS {
				t.Errorf("dry %d: %v", i, result)
			}
		}
		requireBalances(t, c, a, "10.00 10.00 0.00 0.00")
		results := imported(t, c, req)
		for i, result := range results {
			got := result.GetTransfer()
			if got.GetStatus() != transfersv1.Transfer_SUCCESS || !proto.Equal(got.GetEffectiveTime(), req.GetTransfers()[i].GetEffectiveTime()) ||
				got.GetToBalance() != fmt.Sprintf("%d.00", i+1) || result.GetReplayed() {
				t.Errorf("%d: %v", i, result)
			}
		}
		for i, again := range imported(t, c, req) {
			if !again.GetReplayed() || !proto.Equal(again.GetTransfer(), results[i].GetTransfer()) {
				t.Errorf("again %d: %v", i, again)
			}
		}
		requireBalances(t, c, b, "3.00 3.00 0.00 0.00")
		second := func(n int) *timestamppb.Timestamp {
			return timestamppb.New(time.Date(2020, 1, 1, 0, 0, n, 0, time.UTC))
		}
		period := statement(t, c, &transfersv1.GetStatementRequest{
			AccountId: b.GetAccountId(), StartTime: second(11), EndTime: second(30), Basis: bases[1],
		})
		if s := period.GetStatement(); s.GetOpeningBalance() != "2.00" || s.GetClosingBalance() != "3.00" || len(period.GetEntries()) != 1 ||
			period.GetEntries()[0].GetTransferId() != req.GetTransfers()[2].GetTransferId() {
			t.Errorf("%v", period)
		}
	})
}

// TestImportOrder: a time that is missing or goes back refuses all, whatever else is wrong with the
// item.
func TestImportOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "grpc")
	a, b := open(t, c, "10"), open(t, c, "")
	before := f.counts(t)
	missing, broken, wrong := importRequest(a, b, 10, 20), importRequest(a, b, 10, 20, 15), importRequest(a, b, 10, 20)
	missing.Transfers[1].EffectiveTime = nil
	broken.Transfers[1].Amount = "x"
	wrong.Transfers[0].EffectiveTime = &timestamppb.Timestamp{Seconds: 1, Nanos: -1}
	nanosecond := importRequest(a, b, 10, 10)
	nanosecond.Transfers[0].EffectiveTime.Nanos = 1
	for field, req := range map[string]*transfersv1.ImportTransfersRequest{
		"transfers":                   importRequest(a, b),
		"transfers[2].effective_time": broken,
		"transfers[1].effective_time": missing,
		"transfers[0].effective_time": wrong,
	} {
		eachProtocol(t, f, func(t *testing.T, c client) {
			if rpc, ok := c.(*rpcClient); field == "transfers[0].effective_time" && (!ok || rpc.json) {
				return // JSON cannot express that
			}
			_, failed := c.call(t.Context(), "TransferService/ImportTransfers", req, &transfersv1.ImportTransfersResponse{})
			requireField(t, failed, field)
		})
	}
	_, failed := c.call(t.Context(), "TransferService/ImportTransfers", nanosecond, &transfersv1.ImportTransfersResponse{})
	requireField(t, failed, "transfers[1].effective_time")
	none := importRequest(a, b, 10)
	none.Transfers[0].EffectiveTime = nil
	_, failed = c.call(t.Context(), "TransferService/ImportTransfers", none, &transfersv1.ImportTransfersResponse{})
	requireField(t, failed, "transfers[0].effective_time")
	if after := f.counts(t); after != before {
		t.Errorf("a refused import left something: %v, before %v", after, before)
	}
}

// TestImportItems: what is wrong with one item alone is in its own result.
func TestImportItems(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "2"), open(t, c, "")
		req := importRequest(a, b, 10, 10, 10, 10, 10)
		req.Transfers[1].Amount = "-1"
		req.Transfers[2].Hold = true
		req.Transfers[3].Amount = "5"
		req.Transfers = append(req.Transfers, transferRequest(a, b, "1"))
		req.Transfers[5].EffectiveTime = timestamppb.New(time.Now().Add(time.Hour))
		results := imported(t, c, req)
		for i, want := range []string{"SUCCESS", "amount", "effective_time", "INSUFFICIENT_FUNDS", "SUCCESS", "effective_time"} {
			got := results[i].GetError().GetMessage()
			if transfer := results[i].GetTransfer(); transfer != nil {
				if got = transfer.GetStatus().String(); transfer.ErrorReason != nil {
					got = transfer.GetErrorReason().String()
				}
			} else if code := results[i].GetError().GetCode(); code != int32(connect.CodeInvalidArgument) {
				t.Errorf("%d: %v", i, results[i])
			} else if len(got) > len(want) {
				got = got[:len(want)]
			}
			if got != want {
				t.Errorf("%d: %v, want %s", i, results[i], want)
			}
		}
		requireBalances(t, c, a, "0.00 0.00 0.00 0.00")
	})
}
