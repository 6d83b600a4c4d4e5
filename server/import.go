package server

import (
	"context"
	"time"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/ledger"
)

// ImportTransfers makes transfers that take effect at times of their own.
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

// checkImportOrder refuses items without an effective_time and items that take effect before the
// previous item, whatever else is wrong with them: after such an item, none may be where the caller
// means it to be. Times in the future are for the ledger to find, by the database's clock.
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
