package server

import (
	"context"
	"fmt"
	"log/slog"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"github.com/google/uuid"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/ledger"
)

// A transferService answers transfers.v1.TransferService.
type transferService struct {
	ledger    *ledger.Ledger
	logger    *slog.Logger
	validator protovalidate.Validator // for the items of a batch, one by one
}

// CreateTransfer moves money.
func (s *transferService) CreateTransfer(
	ctx context.Context, req *transfersv1.CreateTransferRequest,
) (*transfersv1.CreateTransferResponse, error) {
	params, err := transferParams(req)
	if err != nil {
		return nil, err
	}
	transfer, replayed, err := s.ledger.Transfer(ctx, params)
	if err != nil {
		// A caller whose deadline passes learns which id to ask for, also when the ledger made it.
		return nil, &transferError{cause: err, transferID: transfer.ID.String()}
	}
	if replayed {
		markReplayed(ctx)
	}
	if transfer.Status == ledger.TransferFailed {
		return nil, &refusedError{transfer: transfer}
	}
	return &transfersv1.CreateTransferResponse{Transfer: transferToProto(&transfer)}, nil
}

// BatchCreateTransfers makes many transfers. Items that are malformed never reach the ledger.
func (s *transferService) BatchCreateTransfers(
	ctx context.Context, req *transfersv1.BatchCreateTransfersRequest,
) (*transfersv1.BatchCreateTransfersResponse, error) {
	var (
		items   = req.GetTransfers()
		results = make([]*transfersv1.TransferResult, len(items))
		params  = make([]ledger.TransferParams, 0, len(items))
		indexes = make([]int, 0, len(items)) // of the item behind each of params
	)
	for i, item := range items {
		param, err := s.batchItem(item)
		switch {
		case err == nil:
			params = append(params, param)
			indexes = append(indexes, i)
		case req.GetAtomic():
			return nil, within(fmt.Sprintf("transfers[%d]", i), err)
		default:
			results[i] = s.errorResult(ctx, err)
		}
	}
	if len(params) > 0 {
		outcomes, err := s.ledger.TransferBatch(ctx, params, req.GetAtomic())
		if err != nil {
			return nil, err
		}
		for k := range outcomes {
			results[indexes[k]] = s.result(ctx, &outcomes[k])
		}
	}
	return &transfersv1.BatchCreateTransfersResponse{Results: results}, nil
}

func (s *transferService) batchItem(item *transfersv1.CreateTransferRequest) (ledger.TransferParams, error) {
	if err := s.validator.Validate(item); err != nil {
		return ledger.TransferParams{}, err
	}
	return transferParams(item)
}

func (s *transferService) result(ctx context.Context, outcome *ledger.Outcome) *transfersv1.TransferResult {
	if outcome.Err != nil {
		err := outcome.Err
		if id := outcome.Transfer.ID; id != uuid.Nil {
			err = &transferError{cause: err, transferID: id.String()}
		}
		return s.errorResult(ctx, err)
	}
	return &transfersv1.TransferResult{
		Result:   &transfersv1.TransferResult_Transfer{Transfer: transferToProto(&outcome.Transfer)},
		Replayed: outcome.Replayed,
	}
}

func (s *transferService) errorResult(ctx context.Context, err error) *transfersv1.TransferResult {
	failed := connectError(err)
	if failed.Code() == connect.CodeInternal {
		s.logger.ErrorContext(ctx, "item failed", "request_id", callOf(ctx).id, "error", err)
	}
	return &transfersv1.TransferResult{Result: &transfersv1.TransferResult_Error{Error: rpcStatus(failed)}}
}

func transferParams(req *transfersv1.CreateTransferRequest) (ledger.TransferParams, error) {
	id, err := parseID("transfer_id", req.GetTransferId())
	if err != nil {
		return ledger.TransferParams{}, err
	}
	from, err := parseID("from_account_id", req.GetFromAccountId())
	if err != nil {
		return ledger.TransferParams{}, err
	}
	to, err := parseID("to_account_id", req.GetToAccountId())
	if err != nil {
		return ledger.TransferParams{}, err
	}
	amount, err := parseAmount("amount", req.GetAmount())
	if err != nil {
		return ledger.TransferParams{}, err
	}
	return ledger.TransferParams{
		ID:        id,
		From:      from,
		To:        to,
		Amount:    amount,
		Currency:  req.GetCurrency(),
		Reference: req.GetReference(),
		Metadata:  req.GetMetadata(),
	}, nil
}

// GetTransfer reads a transfer. One that was refused is no error here.
func (s *transferService) GetTransfer(
	ctx context.Context, req *transfersv1.GetTransferRequest,
) (*transfersv1.GetTransferResponse, error) {
	id, err := parseID("transfer_id", req.GetTransferId())
	if err != nil {
		return nil, err
	}
	transfer, err := s.ledger.GetTransfer(ctx, id)
	if err != nil {
		return nil, err
	}
	return &transfersv1.GetTransferResponse{Transfer: transferToProto(&transfer)}, nil
}

// ListTransfers reads a page of transfers.
func (s *transferService) ListTransfers(
	ctx context.Context, req *transfersv1.ListTransfersRequest,
) (*transfersv1.ListTransfersResponse, error) {
	account, err := parseID("account_id", req.GetAccountId())
	if err != nil {
		return nil, err
	}
	start, end, err := parseRange(req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return nil, err
	}
	if account == uuid.Nil && req.GetAccountId() != "" {
		// No account has the nil UUID, but to the ledger it means any account.
		return &transfersv1.ListTransfersResponse{}, nil
	}
	filter := ledger.TransferFilter{
		AccountID: account,
		Currency:  req.GetCurrency(),
		Reference: req.GetReference(),
		Start:     start,
		End:       end,
	}
	if req.GetStatus() != transfersv1.Transfer_STATUS_UNSPECIFIED {
		filter.Status = ledger.TransferStatus(req.GetStatus().String())
	}
	transfers, token, err := s.ledger.ListTransfers(ctx, filter, ledger.Page{Size: req.GetPageSize(), Token: req.GetPageToken()})
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.ListTransfersResponse{NextPageToken: token, Transfers: make([]*transfersv1.Transfer, len(transfers))}
	for i := range transfers {
		answer.Transfers[i] = transferToProto(&transfers[i])
	}
	return answer, nil
}

// markReplayed tells the client, over every protocol, that the answer is that of an earlier call.
func markReplayed(ctx context.Context) {
	if call, ok := connect.CallInfoForHandlerContext(ctx); ok {
		call.ResponseHeader().Set(replayedHeader, "true")
	}
}
