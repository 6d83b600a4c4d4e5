package server

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// TestAbridge: the results of the largest batch fit clients' limits, whatever they contain.
func TestAbridge(t *testing.T) {
	t.Parallel()
	const n = 10_000
	id, digits := uuid.NewString(), strings.Repeat("9", 38)+"."+strings.Repeat("9", 18)
	balance, reason := "-"+digits, transfersv1.Transfer_INSUFFICIENT_FUNDS
	transfer := &transfersv1.Transfer{
		TransferId: id, FromAccountId: id, ToAccountId: id, GroupId: id, Amount: digits, Currency: "USD",
		Status: transfersv1.Transfer_FAILED, ErrorReason: &reason, FromBalance: &balance, ToBalance: &balance,
		RequestedAmount: &digits, ErrorMetadata: map[string]string{"seen": balance, "allowed": digits},
		Reference: strings.Repeat("x", 800), Metadata: map[string]string{"a": "b"},
	}
	small := &transfersv1.Transfer{TransferId: id, Amount: "1.00", Reference: "r"}
	failure := &status.Status{Code: 3, Message: strings.Repeat("y", 1000)}
	result := func(t *transfersv1.Transfer) *transfersv1.TransferResult {
		return &transfersv1.TransferResult{Result: &transfersv1.TransferResult_Transfer{Transfer: proto.CloneOf(t)}}
	}
	for _, c := range []struct {
		name string
		of   func() *transfersv1.TransferResult
		want bool
		as   func(*transfersv1.TransferResult) bool // that they are in the end
	}{
		{"small ones", func() *transfersv1.TransferResult { return result(small) }, false,
			func(r *transfersv1.TransferResult) bool { return r.GetTransfer().GetReference() == "r" }},
		{"the largest", func() *transfersv1.TransferResult { return result(transfer) }, true,
			func(r *transfersv1.TransferResult) bool {
				left := &transfersv1.Transfer{TransferId: id, Status: transfersv1.Transfer_FAILED, ErrorReason: &reason}
				return proto.Equal(r.GetTransfer(), left)
			}},
		{"errors", func() *transfersv1.TransferResult {
			return &transfersv1.TransferResult{Result: &transfersv1.TransferResult_Error{Error: proto.CloneOf(failure)}}
		}, true, func(r *transfersv1.TransferResult) bool {
			return r.GetError().GetCode() == 3 && strings.HasPrefix(r.GetError().GetMessage(), "yyy")
		}},
	} {
		results := make([]*transfersv1.TransferResult, n)
		for i := range results {
			results[i] = c.of()
		}
		got := abridge(results)
		size := proto.Size(&transfersv1.BatchCreateTransfersResponse{Results: results, Abridged: got})
		if got != c.want || size > answerBytesMax || !c.as(results[0]) || !c.as(results[n-1]) {
			t.Errorf("%s: abridged is %t, with %d bytes: %v", c.name, got, size, results[0])
		}
	}
}
