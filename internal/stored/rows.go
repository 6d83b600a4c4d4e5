package stored

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"internaltransfers/gen/db"
	"internaltransfers/ledger"
)

// transferOf converts a row. scale is that of the row's currency.
func transferOf(r *db.TransferFull, scale int32) (ledger.Transfer, error) {
	t := ledger.Transfer{
		ID: r.TransferID, From: r.FromAccountID, To: r.ToAccountID, Amount: r.Amount, Currency: r.Currency,
		Scale: scale, Status: ledger.TransferStatus(r.Status), FromBalance: r.FromBalance, ToBalance: r.ToBalance,
		Reference: r.Reference, CreateTime: r.CreateTime, UpdateTime: r.UpdateTime, Version: int64(r.Version),
	}
	if r.ErrorReason != nil {
		t.Reason = ledger.ErrorReason(*r.ErrorReason)
	}
	var err error
	if r.Kind != nil {
		t.Detail = &ledger.TransferDetail{
			Kind: ledger.TransferKind(*r.Kind), ParentID: r.ParentID.UUID, GroupID: r.GroupID.UUID, DueTime: r.DueTime,
			EffectiveTime: r.EffectiveTime, Open: r.OpenAmount, Posted: r.PostedAmount, Reversed: r.ReversedAmount,
			Requested: r.AskedAmount, Floor: r.UpToFloor,
		}
		if t.Detail.Refusal, err = DecodeMetadata(r.Refusal); err != nil {
			return t, err
		}
	}
	t.Metadata, err = DecodeMetadata(r.Metadata)
	return t, err
}

// Account converts a row. scale is that of the row's currency.
func Account(r *db.Account, scale int32) (ledger.Account, error) {
	policy, err := ledger.DecodePolicy(r.Policy)
	if err != nil {
		return ledger.Account{}, err
	}
	a := ledger.Account{
		ID: r.AccountID, Currency: r.Currency, Scale: scale, Balance: r.Balance, Held: r.Held, Incoming: r.Incoming,
		MinBalance: r.MinBalance, MaxBalance: r.MaxBalance, Status: ledger.AccountStatus(r.Status),
		DisplayName: r.DisplayName, ImageURL: r.ImageURL, Version: r.Version, CreateTime: r.CreateTime,
		UpdateTime: r.UpdateTime,
	}
	if policy != nil {
		a.Policy = *policy
	}
	a.Metadata, err = DecodeMetadata(r.Metadata)
	return a, err
}

// Entry is the side of a successful transfer's row that account saw.
func Entry(r *db.TransferFull, account uuid.UUID, scale int32) ledger.Entry {
	e := ledger.Entry{
		AccountID: account, TransferID: r.TransferID, Currency: r.Currency, Scale: scale, Reference: r.Reference,
		CreateTime: r.CreateTime, Effective: r.EffectiveTime,
	}
	if r.FromAccountID == account {
		e.Counterparty, e.Amount = r.ToAccountID, r.Amount.Neg()
		e.Balance, e.Sequence = r.FromBalance.Decimal, *r.FromSequence
	} else {
		e.Counterparty, e.Amount = r.FromAccountID, r.Amount
		e.Balance, e.Sequence = r.ToBalance.Decimal, *r.ToSequence
	}
	return e
}

var noMetadata = json.RawMessage("{}")

func EncodeMetadata(m map[string]string) json.RawMessage {
	if len(m) == 0 {
		return noMetadata
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // a map of strings always encodes
	}
	return b
}

func DecodeMetadata(b json.RawMessage) (map[string]string, error) {
	if len(b) == 0 || string(b) == "{}" {
		return nil, nil
	}
	var m map[string]string
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("decode metadata: %w", err)
	}
	return m, nil
}
