package server

import (
	"context"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/ledger"
)

// PostTransfer captures a hold.
func (s *transferService) PostTransfer(
	ctx context.Context, req *transfersv1.PostTransferRequest,
) (*transfersv1.PostTransferResponse, error) {
	hold, id, amount, err := parseChild(req.GetTransferId(), "capture_id", req.GetCaptureId(), req.GetAmount())
	if err != nil {
		return nil, err
	}
	capture, posted, replayed, err := s.ledger.Post(ctx, ledger.PostParams{
		HoldID:    hold,
		ID:        id,
		Amount:    amount,
		Final:     req.GetFinal(),
		Reference: req.GetReference(),
		Metadata:  req.GetMetadata(),
		DryRun:    req.GetValidateOnly(),
		NoIssue:   mayNotIssue(ctx),
	})
	if err != nil {
		return nil, unknownOutcome(err, req.GetValidateOnly(), "capture_id", capture.ID)
	}
	if replayed {
		markReplayed(ctx)
	}
	if isRefused(&capture) {
		return nil, &refusedError{transfer: capture, preview: req.GetValidateOnly()}
	}
	return &transfersv1.PostTransferResponse{Transfer: transferToProto(&posted), Capture: transferToProto(&capture)}, nil
}

// VoidTransfer voids a hold or cancels a scheduled transfer.
func (s *transferService) VoidTransfer(
	ctx context.Context, req *transfersv1.VoidTransferRequest,
) (*transfersv1.VoidTransferResponse, error) {
	id, err := parseID("transfer_id", req.GetTransferId())
	if err != nil {
		return nil, err
	}
	transfer, replayed, err := s.ledger.Void(ctx, id, req.GetValidateOnly())
	if err != nil {
		return nil, err
	}
	if replayed {
		markReplayed(ctx)
	}
	return &transfersv1.VoidTransferResponse{Transfer: transferToProto(&transfer)}, nil
}

// ReverseTransfer moves money of a transfer back.
func (s *transferService) ReverseTransfer(
	ctx context.Context, req *transfersv1.ReverseTransferRequest,
) (*transfersv1.ReverseTransferResponse, error) {
	transfer, id, amount, err := parseChild(req.GetTransferId(), "reversal_id", req.GetReversalId(), req.GetAmount())
	if err != nil {
		return nil, err
	}
	reversal, _, replayed, err := s.ledger.Reverse(ctx, ledger.ReverseParams{
		TransferID: transfer,
		ID:         id,
		Amount:     amount,
		Force:      req.GetForce(),
		Reference:  req.GetReference(),
		Metadata:   req.GetMetadata(),
		DryRun:     req.GetValidateOnly(),
		NoIssue:    mayNotIssue(ctx),
	})
	if err != nil {
		return nil, unknownOutcome(err, req.GetValidateOnly(), "reversal_id", reversal.ID)
	}
	if replayed {
		markReplayed(ctx)
	}
	if isRefused(&reversal) {
		return nil, &refusedError{transfer: reversal, preview: req.GetValidateOnly()}
	}
	return &transfersv1.ReverseTransferResponse{Reversal: transferToProto(&reversal)}, nil
}

// parseChild reads what names a transfer, the one to make of it, and its amount; empty: all that is
// left.
func parseChild(parent, childField, child, text string) (target, id uuid.UUID, amount decimal.NullDecimal, err error) {
	if target, err = parseID("transfer_id", parent); err != nil {
		return target, id, amount, err
	}
	if id, err = parseID(childField, child); err != nil || text == "" {
		return target, id, amount, err
	}
	amount, err = parseOptional("amount", &text)
	return target, id, amount, err
}
