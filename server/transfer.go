package server

import (
	"context"
	"fmt"
	"log/slog"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"github.com/google/uuid"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// A transferService implements transfers.v1.TransferService.
type transferService struct {
	ledger    *postgres.Ledger
	logger    *slog.Logger
	validator protovalidate.Validator // for the items of a batch, one by one
}

// CreateTransfer moves money now, reserves it, or schedules the move.
func (s *transferService) CreateTransfer(
	ctx context.Context, req *transfersv1.CreateTransferRequest,
) (*transfersv1.CreateTransferResponse, error) {
	params, err := transferParams(req)
	if err != nil {
		return nil, err
	}
	params.NoIssue = mayNotIssue(ctx)
	transfer, replayed, err := s.ledger.Transfer(ctx, params)
	if err != nil {
		return nil, unknownOutcome(err, req.GetValidateOnly(), "transfer_id", transfer.ID)
	}
	if replayed {
		markReplayed(ctx)
	}
	if isRefused(&transfer) {
		return nil, &refusedError{transfer: transfer, preview: req.GetValidateOnly()}
	}
	return &transfersv1.CreateTransferResponse{Transfer: transferToProto(&transfer)}, nil
}

// isRefused reports whether a transfer was refused on creation. One that was accepted and FAILED
// later, such as a hold that expired, is no error of the call that made it, however often that is
// repeated: its first change of status made it version 2.
func isRefused(t *ledger.Transfer) bool { return t.Status == ledger.TransferFailed && t.Version == 1 }

// BatchCreateTransfers makes many transfers.
func (s *transferService) BatchCreateTransfers(
	ctx context.Context, req *transfersv1.BatchCreateTransfersRequest,
) (*transfersv1.BatchCreateTransfersResponse, error) {
	group, err := parseID("group_id", req.GetGroupId())
	if err != nil {
		return nil, err
	}
	if group != uuid.Nil && !req.GetAtomic() {
		return nil, invalidField("group_id", "is for atomic batches only")
	}
	results, err := s.batch(ctx, req.GetTransfers(), ledger.BatchOptions{
		Atomic: req.GetAtomic(), GroupID: group, DryRun: req.GetValidateOnly(),
	})
	if err != nil {
		return nil, err
	}
	return &transfersv1.BatchCreateTransfersResponse{Abridged: abridge(results), Results: results}, nil
}

// batch makes transfers and returns the result of each by index. Items that are malformed never
// reach the ledger.
func (s *transferService) batch(
	ctx context.Context, items []*transfersv1.CreateTransferRequest, options ledger.BatchOptions,
) ([]*transfersv1.TransferResult, error) {
	var (
		results = make([]*transfersv1.TransferResult, len(items))
		params  = make([]ledger.TransferParams, 0, len(items))
		indexes = make([]int, 0, len(items)) // of the item behind each of params
	)
	for i, item := range items {
		param, err := s.batchItem(item)
		switch {
		case item.GetValidateOnly():
			// Not in the item's own result: the caller wanted one item not to happen, and the
			// others would.
			return nil, within(itemName(i), invalidField("validate_only", "must be set for the batch, not for an item"))
		case err == nil:
			param.NoIssue = mayNotIssue(ctx)
			params = append(params, param)
			indexes = append(indexes, i)
		case options.Atomic:
			return nil, within(itemName(i), err)
		default:
			results[i] = s.errorResult(ctx, err)
		}
	}
	if len(params) > 0 {
		outcomes, err := s.ledger.TransferBatch(ctx, params, options)
		if err != nil {
			return nil, err
		}
		for k := range outcomes {
			results[indexes[k]] = s.result(ctx, &outcomes[k])
		}
	}
	return results, nil
}

func itemName(i int) string { return fmt.Sprintf("transfers[%d]", i) }

func (s *transferService) batchItem(item *transfersv1.CreateTransferRequest) (ledger.TransferParams, error) {
	if err := s.validator.Validate(item); err != nil {
		return ledger.TransferParams{}, err
	}
	return transferParams(item)
}

func (s *transferService) result(ctx context.Context, outcome *ledger.Outcome) *transfersv1.TransferResult {
	if outcome.Err != nil {
		return s.errorResult(ctx, unknownOutcome(outcome.Err, false, "transfer_id", outcome.Transfer.ID))
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
	options, err := transferOptions(req)
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
		Options:   options,
	}, nil
}

// GetTransfer reads a transfer. A refused one is no error here.
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
	var account, group, parent uuid.UUID
	for _, f := range [...]struct {
		field, text string
		into        *uuid.UUID
	}{
		{"account_id", req.GetAccountId(), &account},
		{"group_id", req.GetGroupId(), &group},
		{"parent_transfer_id", req.GetParentTransferId(), &parent},
	} {
		var err error
		if *f.into, err = parseID(f.field, f.text); err != nil {
			return nil, err
		}
	}
	start, end, err := parseRange(req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return nil, err
	}
	filter := postgres.TransferFilter{
		AccountID: account,
		Currency:  req.GetCurrency(),
		Reference: req.GetReference(),
		Start:     start,
		End:       end,
		GroupID:   group,
		ParentID:  parent,
	}
	if req.GetStatus() != transfersv1.Transfer_STATUS_UNSPECIFIED {
		filter.Status = ledger.TransferStatus(req.GetStatus().String())
	}
	transfers, token, err := s.ledger.ListTransfers(ctx, filter, pageOf(req))
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.ListTransfersResponse{NextPageToken: token, Transfers: make([]*transfersv1.Transfer, len(transfers))}
	for i := range transfers {
		answer.Transfers[i] = transferToProto(&transfers[i])
	}
	return answer, nil
}

// markReplayed tells the client, over every protocol, that the response is that of an earlier call.
func markReplayed(ctx context.Context) {
	if call, ok := connect.CallInfoForHandlerContext(ctx); ok {
		call.ResponseHeader().Set(replayedHeader, "true")
	}
}
