package server

import (
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/ledger"
)

// amountText prints an amount with exactly the currency's decimals. It never rounds: the requested
// amount of a refused transfer can have more decimals, and is printed with all of them.
func amountText(amount decimal.Decimal, scale int32) string {
	if -amount.Exponent() > scale && !amount.Equal(amount.Truncate(scale)) {
		return amount.String()
	}
	return amount.StringFixed(scale)
}

func balanceText(balance decimal.NullDecimal, scale int32) string {
	if !balance.Valid {
		return ""
	}
	return amountText(balance.Decimal, scale)
}

func optionalAmount(amount decimal.NullDecimal, scale int32) *string {
	if !amount.Valid {
		return nil
	}
	text := amountText(amount.Decimal, scale)
	return &text
}

// parseID reads a UUID. An empty text is uuid.Nil, and nothing else is: requests with the nil UUID
// were refused before.
func parseID(field, text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil, invalidField(field, "must be a UUID")
	}
	return id, nil
}

// parseAmount reads a decimal number whose form was validated; an empty text is zero.
func parseAmount(field, text string) (decimal.Decimal, error) {
	if text == "" {
		return decimal.Zero, nil
	}
	amount, err := decimal.NewFromString(text)
	if err != nil {
		return decimal.Zero, invalidField(field, "must be a plain decimal number such as 20.00")
	}
	return amount, nil
}

// parseRange reads a time range whose ends may be open.
func parseRange(startTime, endTime *timestamppb.Timestamp) (start, end time.Time, err error) {
	if err := startTime.CheckValid(); startTime != nil && err != nil {
		return start, end, invalidField("start_time", "must be a time in the years 0001 to 9999")
	}
	if err := endTime.CheckValid(); endTime != nil && err != nil {
		return start, end, invalidField("end_time", "must be a time in the years 0001 to 9999")
	}
	if startTime != nil {
		start = startTime.AsTime()
	}
	if endTime == nil {
		return start, end, nil
	}
	end = endTime.AsTime()
	if startTime != nil && !end.After(start) {
		return start, end, invalidField("end_time", "must be after start_time")
	}
	if end.IsZero() {
		// The first instant of the year 1 is Go's zero time, which would mean no end at all.
		end = end.Add(time.Microsecond)
	}
	return start, end, nil
}

func accountToProto(a *ledger.Account) *transfersv1.Account {
	message := &transfersv1.Account{
		AccountId:   a.ID.String(),
		Currency:    a.Currency,
		Balance:     amountText(a.Balance, a.Scale),
		Available:   amountText(a.Available(), a.Scale),
		Held:        amountText(a.Held, a.Scale),
		Incoming:    amountText(a.Incoming, a.Scale),
		MinBalance:  optionalAmount(a.MinBalance, a.Scale),
		MaxBalance:  optionalAmount(a.MaxBalance, a.Scale),
		Status:      transfersv1.Account_Status(transfersv1.Account_Status_value[string(a.Status)]),
		DisplayName: a.DisplayName,
		ImageUrl:    a.ImageURL,
		Metadata:    a.Metadata,
		Version:     a.Version,
		CreateTime:  timestamppb.New(a.CreateTime),
		UpdateTime:  timestamppb.New(a.UpdateTime),
	}
	setPolicy(message, &a.Policy, a.Scale)
	return message
}

func entryToProto(e *ledger.Entry) *transfersv1.Entry {
	return &transfersv1.Entry{
		AccountId:             e.AccountID.String(),
		Sequence:              e.Sequence,
		TransferId:            e.TransferID.String(),
		CounterpartyAccountId: e.Counterparty.String(),
		Amount:                amountText(e.Amount, e.Scale),
		Balance:               amountText(e.Balance, e.Scale),
		Currency:              e.Currency,
		Reference:             e.Reference,
		CreateTime:            timestamppb.New(e.CreateTime),
		EffectiveTime:         optionalTime(e.Effective),
	}
}

func transferToProto(t *ledger.Transfer) *transfersv1.Transfer {
	message := &transfersv1.Transfer{
		TransferId:    t.ID.String(),
		FromAccountId: t.From.String(),
		ToAccountId:   t.To.String(),
		Amount:        amountText(t.Amount, t.Scale),
		Currency:      t.Currency,
		Status:        transfersv1.Transfer_Status(transfersv1.Transfer_Status_value[string(t.Status)]),
		FromBalance:   optionalAmount(t.FromBalance, t.Scale),
		ToBalance:     optionalAmount(t.ToBalance, t.Scale),
		Reference:     t.Reference,
		Metadata:      t.Metadata,
		CreateTime:    timestamppb.New(t.CreateTime),
		UpdateTime:    timestamppb.New(t.UpdateTime),
		Version:       t.Version,
		Kind:          transfersv1.Transfer_TRANSFER,
	}
	if t.Status == ledger.TransferFailed {
		message.ErrorReason = transfersv1.Transfer_ErrorReason(transfersv1.Transfer_ErrorReason_value[string(t.Reason)]).Enum()
		message.ErrorMetadata = figuresOf(t)
	}
	if t.Detail != nil {
		setDetail(message, t.Detail, t.Scale)
	}
	return message
}

// setDetail adds the fields that only some transfers have to a transfer's message.
func setDetail(message *transfersv1.Transfer, d *ledger.TransferDetail, scale int32) {
	message.Kind = transfersv1.Transfer_Kind(transfersv1.Transfer_Kind_value[string(d.Kind)])
	message.ParentTransferId = idText(d.ParentID)
	message.GroupId = idText(d.GroupID)
	message.EffectiveTime = optionalTime(d.EffectiveTime)
	message.ReversedAmount = optionalAmount(d.Reversed, scale)
	message.RequestedAmount = optionalAmount(d.Requested, scale)
	message.UpToFloor = optionalAmount(d.Floor, scale)
	switch d.Kind {
	case ledger.KindHold:
		message.ExpireTime = optionalTime(d.DueTime)
		message.PostedAmount = optionalAmount(d.Posted, scale)
		// A final hold has nothing open: zero.
		message.HeldAmount = optionalAmount(decimal.NewNullDecimal(d.Open.Decimal), scale)
	case ledger.KindScheduled:
		message.ExecuteTime = optionalTime(d.DueTime)
	default: // nothing more
	}
}

// idText spells a UUID; uuid.Nil is the empty text.
func idText(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

func currencyToProto(c *ledger.Currency) *transfersv1.Currency {
	return &transfersv1.Currency{
		Code:            c.Code,
		Scale:           c.Scale,
		EquityAccountId: c.EquityAccountID.String(),
		CreateTime:      timestamppb.New(c.CreateTime),
	}
}
