package server

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/postgres"
)

// A ledgerService implements transfers.v1.LedgerService.
type ledgerService struct {
	ledger  *postgres.Ledger
	watches context.Context
	prover  *prover
}

// ListCurrencies reads a page of currencies.
func (s *ledgerService) ListCurrencies(
	ctx context.Context, req *transfersv1.ListCurrenciesRequest,
) (*transfersv1.ListCurrenciesResponse, error) {
	currencies, token, err := s.ledger.ListCurrencies(ctx, pageOf(req))
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.ListCurrenciesResponse{NextPageToken: token, Currencies: make([]*transfersv1.Currency, len(currencies))}
	for i := range currencies {
		answer.Currencies[i] = currencyToProto(&currencies[i])
	}
	return answer, nil
}

// CreateCurrency adds a currency.
func (s *ledgerService) CreateCurrency(
	ctx context.Context, req *transfersv1.CreateCurrencyRequest,
) (*transfersv1.CreateCurrencyResponse, error) {
	currency, replayed, err := s.ledger.CreateCurrency(ctx, req.GetCode(), req.GetScale(), req.GetValidateOnly())
	if err != nil {
		return nil, err
	}
	if replayed {
		markReplayed(ctx)
	}
	return &transfersv1.CreateCurrencyResponse{Currency: currencyToProto(&currency)}, nil
}

// CheckLedger proves the invariants anew.
func (s *ledgerService) CheckLedger(
	ctx context.Context, req *transfersv1.CheckLedgerRequest,
) (*transfersv1.CheckLedgerResponse, error) {
	report, err := s.prover.prove(ctx, req.GetScope() == transfersv1.CheckLedgerRequest_INCREMENTAL)
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.CheckLedgerResponse{Ok: report.OK(), CheckTime: timestamppb.New(report.Time)}
	if !report.CheckpointTime.IsZero() {
		answer.CheckpointTime = timestamppb.New(report.CheckpointTime)
	}
	for i := range report.Invariants {
		invariant := &report.Invariants[i]
		answer.Invariants = append(answer.Invariants, &transfersv1.Invariant{
			Name:           invariant.Name,
			Description:    invariant.Description,
			Ok:             invariant.ViolationCount == 0,
			Examined:       invariant.Examined,
			ViolationCount: invariant.ViolationCount,
			Violations:     invariant.Violations,
		})
	}
	return answer, nil
}
