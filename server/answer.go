package server

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/paging"
)

const (
	// answerBytesMax is the default limit of gRPC clients on a message.
	answerBytesMax = 4 << 20
	// pageBytesMax is the size at which a page of a list ends. It is smaller than answerBytesMax,
	// because the ledger only estimates the size of its items.
	pageBytesMax = 3 << 20
	// messageTextMax bounds the error messages of abridged results.
	messageTextMax = 200
)

// pageOf returns the page that a request selects.
func pageOf(req interface {
	GetPageSize() int32
	GetPageToken() string
}) paging.Page {
	return paging.Page{Size: req.GetPageSize(), Token: req.GetPageToken(), Bytes: pageBytesMax}
}

// limitAnswers refuses reads whose response exceeds the limit of many clients, with an error that
// says what to do. Lists never reach the limit, because their pages end before. Responses to calls
// that change something are never refused: the change has happened.
func limitAnswers(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		if err != nil || req.Spec().IdempotencyLevel != connect.IdempotencyNoSideEffects {
			return res, err
		}
		message, ok := res.Any().(proto.Message)
		if !ok || proto.Size(message) <= answerBytesMax {
			return res, nil
		}
		return nil, newError(connect.CodeResourceExhausted, fmt.Errorf("the answer has %d bytes, and clients take at most %d: "+
			"ask for fewer items, a shorter time or longer steps", proto.Size(message), answerBytesMax), info("ANSWER_TOO_LARGE", nil))
	}
}

// abridge shortens the results of a batch until they fit the limit of every client, and reports
// whether it had to. The transfers are made: a client whose limit refuses the response would not
// know which.
func abridge(results []*transfersv1.TransferResult) bool {
	abridged := false
	for _, shorten := range [...]func(*transfersv1.TransferResult){dropCallersData, keepOutcome} {
		if proto.Size(&transfersv1.BatchCreateTransfersResponse{Results: results, Abridged: true}) <= answerBytesMax {
			break
		}
		abridged = true
		for _, result := range results {
			shorten(result)
		}
	}
	return abridged
}

// dropCallersData drops what the caller sent and so knows.
func dropCallersData(result *transfersv1.TransferResult) {
	if t := result.GetTransfer(); t != nil {
		t.Reference, t.Metadata = "", nil
	}
}

// keepOutcome drops all of a transfer but its outcome.
func keepOutcome(result *transfersv1.TransferResult) {
	switch r := result.Result.(type) {
	case *transfersv1.TransferResult_Transfer:
		r.Transfer = &transfersv1.Transfer{
			TransferId: r.Transfer.GetTransferId(), Status: r.Transfer.GetStatus(), ErrorReason: r.Transfer.ErrorReason,
		}
	case *transfersv1.TransferResult_Error:
		r.Error = &status.Status{Code: r.Error.GetCode(), Message: clip(r.Error.GetMessage(), messageTextMax)}
	}
}
