package server

import (
	"fmt"

	"internaltransfers/ledger"
)

// A refusedError is a transfer that the ledger recorded as FAILED. All that it says comes from the record, so a replay
// says the same.
type refusedError struct {
	transfer ledger.Transfer
}

func (e *refusedError) reason() string { return string(e.transfer.Reason) }

func (e *refusedError) Error() string {
	t := &e.transfer
	switch t.Reason {
	case ledger.FromAccountNotFound:
		return fmt.Sprintf("transfer %s was refused: there is no account %s to pay from", t.ID, t.From)
	case ledger.ToAccountNotFound:
		return fmt.Sprintf("transfer %s was refused: there is no account %s to pay to", t.ID, t.To)
	case ledger.CurrencyMismatch:
		return fmt.Sprintf("transfer %s was refused: the accounts and the transfer are not all in the same currency", t.ID)
	case ledger.ReasonAccountClosed:
		return fmt.Sprintf("transfer %s was refused: one of its accounts is closed", t.ID)
	case ledger.ReasonAccountFrozen:
		return fmt.Sprintf("transfer %s was refused: one of its accounts is frozen", t.ID)
	case ledger.InsufficientFunds:
		return fmt.Sprintf("transfer %s was refused: account %s, with a balance of %s, cannot pay %s %s",
			t.ID, t.From, balanceText(t.FromBalance, t.Scale), amountText(t.Amount, t.Scale), t.Currency)
	case ledger.GroupFailed:
		return fmt.Sprintf("transfer %s was refused: another transfer of its atomic group was", t.ID)
	default:
		return fmt.Sprintf("transfer %s was refused: %s", t.ID, t.Reason)
	}
}

// metadata is what was asked for and what the ledger saw.
func (e *refusedError) metadata() map[string]string {
	t := &e.transfer
	metadata := map[string]string{
		"transfer_id":     t.ID.String(),
		"from_account_id": t.From.String(),
		"to_account_id":   t.To.String(),
		"amount":          amountText(t.Amount, t.Scale),
	}
	if t.Currency != "" {
		metadata["currency"] = t.Currency
	}
	if t.FromBalance.Valid {
		metadata["from_balance"] = amountText(t.FromBalance.Decimal, t.Scale)
	}
	if t.ToBalance.Valid {
		metadata["to_balance"] = amountText(t.ToBalance.Decimal, t.Scale)
	}
	return metadata
}
