package server

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/postgres"
)

// GetStatus returns the state of the ledger.
func (s *ledgerService) GetStatus(
	ctx context.Context, _ *transfersv1.GetStatusRequest,
) (*transfersv1.GetStatusResponse, error) {
	status, err := s.ledger.GetStatus(ctx)
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.GetStatusResponse{ReadTime: timestamppb.New(status.Time)}
	for i := range status.Totals {
		total := &status.Totals[i]
		answer.Totals = append(answer.Totals, &transfersv1.CurrencyTotal{
			Currency: total.Currency, Amount: amountText(total.Amount, total.Scale), AccountCount: total.Accounts,
		})
	}
	if proof := status.Proof; proof != nil {
		answer.CheckTime = timestamppb.New(proof.Time)
		answer.CheckOk = len(proof.Broken) == 0
		answer.CheckIncremental = proof.Incremental
		answer.BrokenInvariants = proof.Broken
	}
	return answer, nil
}

// GetActivity returns counts of recent activity.
func (s *ledgerService) GetActivity(
	ctx context.Context, req *transfersv1.GetActivityRequest,
) (*transfersv1.GetActivityResponse, error) {
	window, err := parseDuration("window", req.GetWindow())
	if err != nil {
		return nil, err
	}
	step, err := parseDuration("step", req.GetStep())
	if err != nil {
		return nil, err
	}
	activity, err := s.ledger.GetActivity(ctx, window, step)
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.GetActivityResponse{
		Step: durationpb.New(activity.Step), Steps: make([]*transfersv1.ActivityStep, len(activity.Steps)),
	}
	for i := range activity.Steps {
		answer.Steps[i] = stepToProto(&activity.Steps[i])
	}
	return answer, nil
}

func stepToProto(s *postgres.ActivityStep) *transfersv1.ActivityStep {
	message := &transfersv1.ActivityStep{
		StartTime: timestamppb.New(s.Start), SuccessCount: s.Success, InitCount: s.Init,
	}
	for reason, n := range s.Refusals {
		message.Refusals = append(message.Refusals, &transfersv1.RefusalCount{
			Reason: transfersv1.Transfer_ErrorReason(transfersv1.Transfer_ErrorReason_value[string(reason)]), Count: n,
		})
	}
	slices.SortFunc(message.Refusals, func(a, b *transfersv1.RefusalCount) int { return cmp.Compare(a.Reason, b.Reason) })
	for _, code := range slices.Sorted(maps.Keys(s.Volumes)) {
		volume := s.Volumes[code]
		message.Volumes = append(message.Volumes, &transfersv1.CurrencyVolume{
			Currency: code, Amount: amountText(volume.Amount, volume.Scale),
		})
	}
	return message
}
