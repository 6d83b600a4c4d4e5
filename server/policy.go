package server

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/ledger"
)

// parseLimits reads rolling limits. field is the name of the list; the result is never nil.
func parseLimits(field string, given []*transfersv1.Limit) ([]ledger.Limit, error) {
	limits := make([]ledger.Limit, 0, len(given))
	for i, message := range given {
		item := fmt.Sprintf("%s[%d].", field, i)
		window, err := parseDuration(item+"window", message.GetWindow())
		if err != nil {
			return nil, err
		}
		most, err := parseOptional(item+"max_amount", message.MaxAmount)
		if err != nil {
			return nil, err
		}
		limits = append(limits, ledger.Limit{Window: window, MaxAmount: pointer(most), MaxCount: message.MaxCount})
	}
	return limits, nil
}

// parseBlock reads a block; a missing one removes the block.
func parseBlock(field string, given *transfersv1.Block) (*ledger.OptionalBlock, error) {
	if given == nil {
		return &ledger.OptionalBlock{}, nil
	}
	block := &ledger.Block{Reason: given.GetReason()}
	if given.GetEndTime() != nil {
		end, err := parseTime(field+".end_time", given.GetEndTime())
		if err != nil {
			return nil, err
		}
		block.End = &end
	}
	return &ledger.OptionalBlock{Block: block}, nil
}

// pointer returns the number if it is set, else nil.
func pointer(amount decimal.NullDecimal) *decimal.Decimal {
	if !amount.Valid {
		return nil
	}
	return &amount.Decimal
}

// setPolicy adds the policy to an account's message.
func setPolicy(message *transfersv1.Account, policy *ledger.Policy, scale int32) {
	if policy.MaxTransfer != nil {
		message.MaxTransferAmount = optionalAmount(decimal.NewNullDecimal(*policy.MaxTransfer), scale)
	}
	message.DebitBlock = blockToProto(policy.DebitBlock)
	message.CreditBlock = blockToProto(policy.CreditBlock)
	for i := range policy.Limits {
		l := &policy.Limits[i]
		limit := &transfersv1.Limit{Window: durationpb.New(l.Window), MaxCount: l.MaxCount}
		if l.MaxAmount != nil {
			limit.MaxAmount = optionalAmount(decimal.NewNullDecimal(*l.MaxAmount), scale)
		}
		message.Limits = append(message.Limits, limit)
	}
}

func blockToProto(b *ledger.Block) *transfersv1.Block {
	if b == nil {
		return nil
	}
	return &transfersv1.Block{Reason: b.Reason, EndTime: optionalTime(b.End)}
}

func optionalTime(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}
