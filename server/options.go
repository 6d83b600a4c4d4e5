package server

import (
	"time"

	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/ledger"
)

// isPlain reports whether the request is for a transfer now, on no condition.
func isPlain(req *transfersv1.CreateTransferRequest) bool {
	return !req.Hold && req.ExpireTime == nil && req.HoldTtl == nil && req.ExecuteTime == nil && req.EffectiveTime == nil &&
		!req.UpTo && req.UpToFloor == nil && req.ExpectedFromVersion == nil && req.ExpectedToVersion == nil && req.FromBalanceAtLeast == nil &&
		req.FromBalanceAtMost == nil && req.ToBalanceAtLeast == nil && req.ToBalanceAtMost == nil && !req.ValidateOnly
}

// transferOptions reads the optional fields of a transfer; nil: none is set.
func transferOptions(req *transfersv1.CreateTransferRequest) (*ledger.TransferOptions, error) {
	if isPlain(req) {
		return nil, nil
	}
	o := &ledger.TransferOptions{
		Hold: req.GetHold(), UpTo: req.GetUpTo(), DryRun: req.GetValidateOnly(),
		FromVersion: req.ExpectedFromVersion, ToVersion: req.ExpectedToVersion,
	}
	for _, t := range [...]struct {
		field string
		time  *timestamppb.Timestamp
		into  *time.Time
	}{
		{"expire_time", req.GetExpireTime(), &o.ExpireTime},
		{"execute_time", req.GetExecuteTime(), &o.ExecuteTime},
		{"effective_time", req.GetEffectiveTime(), &o.EffectiveTime},
	} {
		var err error
		if *t.into, err = parseTime(t.field, t.time); err != nil {
			return nil, err
		}
	}
	var err error
	if o.HoldTTL, err = parseDuration("hold_ttl", req.GetHoldTtl()); err != nil {
		return nil, err
	}
	for _, b := range [...]struct {
		field string
		text  *string
		into  *decimal.NullDecimal
	}{
		{"from_balance_at_least", req.FromBalanceAtLeast, &o.FromAtLeast},
		{"from_balance_at_most", req.FromBalanceAtMost, &o.FromAtMost},
		{"to_balance_at_least", req.ToBalanceAtLeast, &o.ToAtLeast},
		{"to_balance_at_most", req.ToBalanceAtMost, &o.ToAtMost},
		{"up_to_floor", req.UpToFloor, &o.UpToFloor},
	} {
		if *b.into, err = parseOptional(b.field, b.text); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// parseTime reads a time; a missing one is the zero time.
func parseTime(field string, given *timestamppb.Timestamp) (time.Time, error) {
	if given == nil {
		return time.Time{}, nil
	}
	if given.CheckValid() != nil {
		return time.Time{}, invalidField(field, "must be a time in the years 0001 to 9999")
	}
	moment := given.AsTime()
	if moment.Truncate(time.Microsecond).IsZero() {
		// To the ledger, which keeps microseconds, that would be the zero time.
		return time.Time{}, invalidField(field, "must be after the first microsecond of the year 1")
	}
	return moment, nil
}

// parseDuration reads a duration; a missing one is zero.
func parseDuration(field string, given *durationpb.Duration) (time.Duration, error) {
	if given == nil {
		return 0, nil
	}
	if given.CheckValid() != nil {
		return 0, invalidField(field, "must be a duration such as 90s")
	}
	// A duration that does not fit is cut to 292 years, more than any field allows.
	return given.AsDuration(), nil
}

// parseOptional reads a decimal number whose form was validated. A missing text is not valid.
func parseOptional(field string, text *string) (decimal.NullDecimal, error) {
	if text == nil {
		return decimal.NullDecimal{}, nil
	}
	amount, err := parseAmount(field, *text)
	return decimal.NullDecimal{Decimal: amount, Valid: err == nil}, err
}
