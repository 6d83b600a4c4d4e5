package server

import (
	"context"
	"time"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/ledger"
)

// ImportTransfers makes transfers that count at times of their own.
func (s *transferService) ImportTransfers(
	ctx context.Context, req *transfersv1.ImportTransfersRequest,
) (*transfersv1.ImportTransfersResponse, error) {
	if err := checkImportOrder(req.GetTransfers()); err != nil {
		return nil, err
	}
	results, err := s.batch(ctx, req.GetTransfers(), ledger.BatchOptions{DryRun: req.GetValidateOnly()})
	if err != nil {
		return nil, err
	}
	return &transfersv1.ImportTransfersResponse{Abridged: abridge(results), Results: results}, nil
}

// checkImportOrder refuses items without an effective_time and items that count before the one before them, whatever
// else is wrong with them: out of order, none of the others may be where its caller means it to be. That a time lies in
// the future is for the ledger to see, by the database's clock.
func checkImportOrder(items []*transfersv1.CreateTransferRequest) error {
	var last time.Time
	for i, item := range items {
		const field = "effective_time"
		at, err := parseTime(field, item.GetEffectiveTime())
		switch {
		case err != nil:
		case at.IsZero():
			err = invalidField(field, "must be given")
		case at.Before(last):
			err = invalidField(field, "must not be before that of "+itemName(i-1))
		}
		if err != nil {
			return within(itemName(i), err)
		}
		last = at
	}
	return nil
}
