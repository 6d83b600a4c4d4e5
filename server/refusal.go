package server

import (
	"fmt"
	"maps"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/ledger"
)

// A refusedError is a transfer that the ledger recorded as FAILED. All its texts and figures come
// from the record, so a replay returns the same.
type refusedError struct {
	transfer ledger.Transfer
	preview  bool // nothing is on record
}

func (e *refusedError) reason() string { return string(e.transfer.Reason) }

// code tells callers with an outdated view of an account to read it again. To all others the same
// call is refused until the accounts change.
func (e *refusedError) code() connect.Code {
	if e.transfer.Reason == ledger.VersionMismatch {
		return connect.CodeAborted
	}
	return connect.CodeFailedPrecondition
}

func (e *refusedError) Error() string {
	t := &e.transfer
	noun := "transfer"
	switch t.Kind() {
	case ledger.KindHold:
		noun = "hold"
	case ledger.KindCapture:
		noun = "capture"
	case ledger.KindReversal:
		noun = "reversal"
	default: // to the caller the others are transfers like any other
	}
	verb := "was"
	if e.preview {
		verb = "would be"
	}
	return fmt.Sprintf("%s %s %s refused: %s", noun, t.ID, verb, refusalText(t))
}

// refusalText returns why a transfer was refused, as a clause.
func refusalText(t *ledger.Transfer) string {
	f := figuresOf(t)
	amount := amountText(t.Amount, t.Scale) + " " + t.Currency
	switch t.Reason {
	case ledger.FromAccountNotFound:
		return fmt.Sprintf("there is no account %s to pay from", t.From)
	case ledger.ToAccountNotFound:
		return fmt.Sprintf("there is no account %s to pay to", t.To)
	case ledger.CurrencyMismatch:
		return "the accounts and the transfer are not all in the same currency"
	case ledger.ReasonAccountClosed:
		return "one of its accounts is closed"
	case ledger.ReasonAccountFrozen:
		return "one of its accounts is frozen"
	case ledger.DebitsBlocked:
		return fmt.Sprintf("debits of account %s are blocked%s: %s", t.From, blockedUntil(f), f["block_reason"])
	case ledger.CreditsBlocked:
		return fmt.Sprintf("credits of account %s are blocked%s: %s", t.To, blockedUntil(f), f["block_reason"])
	case ledger.VersionMismatch:
		return fmt.Sprintf("account %s has version %s, not %s", f["account_id"], f["seen"], f["allowed"])
	case ledger.BalanceConditionFailed:
		return fmt.Sprintf("the balance of account %s is %s, not %s %s", f["account_id"], f["seen"], f["condition"], f["allowed"])
	case ledger.TransferCapExceeded:
		return fmt.Sprintf("one transfer may take at most %s from account %s, not %s", f["allowed"], t.From, amount)
	case ledger.InsufficientFunds:
		return insufficientText(t, amount)
	case ledger.MaxBalanceExceeded:
		return fmt.Sprintf("account %s, with %s in it or on hold towards it, may have at most %s, and so cannot take %s",
			t.To, f["seen"], f["allowed"], amount)
	case ledger.AmountLimitExceeded:
		return fmt.Sprintf("account %s may pay at most %s within %s; it has paid %s, and so cannot pay %s",
			t.From, f["allowed"], f["window"], f["seen"], amount)
	case ledger.CountLimitExceeded:
		return fmt.Sprintf("account %s may make at most %s transfers within %s, and has made %s",
			t.From, f["allowed"], f["window"], f["seen"])
	case ledger.GroupFailed:
		return "another transfer of its atomic group was"
	case ledger.Voided:
		return "it was voided"
	default:
		return parentText(t, amount)
	}
}

// insufficientText returns what was available. Without a floor and holds that is the balance.
func insufficientText(t *ledger.Transfer, amount string) string {
	if t.Detail == nil || t.Detail.Refusal == nil {
		return fmt.Sprintf("account %s, with a balance of %s, cannot pay %s", t.From, balanceText(t.FromBalance, t.Scale), amount)
	}
	what := amount
	if t.Detail.Requested.Valid {
		what = "anything"
	}
	return fmt.Sprintf("account %s, with %s available and a floor of %s, cannot pay %s",
		t.From, t.Detail.Refusal["seen"], t.Detail.Refusal["allowed"], what)
}

func blockedUntil(figures map[string]string) string {
	if end := figures["block_end_time"]; end != "" {
		return " until " + end
	}
	return ""
}

// parentText returns why a capture or reversal was refused because of the transfer that it refers
// to.
func parentText(t *ledger.Transfer, amount string) string {
	parent := parentOf(t)
	switch t.Reason {
	case ledger.NotReversible:
		return fmt.Sprintf("transfer %s moved no money, or is a reversal itself", parent)
	case ledger.NotPending:
		return fmt.Sprintf("transfer %s is no hold that was accepted", parent)
	case ledger.AlreadyPosted:
		return fmt.Sprintf("hold %s was posted before, and is final", parent)
	case ledger.AlreadyVoided:
		return fmt.Sprintf("hold %s was voided before", parent)
	case ledger.HoldExpired:
		return fmt.Sprintf("hold %s has expired", parent)
	case ledger.HoldAmountExceeded:
		return fmt.Sprintf("hold %s reserves less than %s", parent, amount)
	case ledger.AlreadyReversed:
		return fmt.Sprintf("of transfer %s less than %s is left to be moved back", parent, amount)
	default:
		return string(t.Reason)
	}
}

// parentOf returns the transfer that a capture, execution or reversal refers to, uuid.Nil for other
// transfers.
func parentOf(t *ledger.Transfer) uuid.UUID {
	if t.Detail == nil {
		return uuid.Nil
	}
	return t.Detail.ParentID
}

// metadata returns the request's figures and those that the ledger saw.
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
	if parent := parentOf(t); parent != uuid.Nil {
		metadata["parent_transfer_id"] = parent.String()
	}
	maps.Copy(metadata, figuresOf(t))
	return metadata
}

// figuresOf returns the figures of a refused transfer. The ledger keeps none where the payer's
// balance was simply too small, because the record has that already.
func figuresOf(t *ledger.Transfer) map[string]string {
	switch {
	case t.Detail != nil && t.Detail.Refusal != nil:
		return t.Detail.Refusal
	case t.Reason == ledger.InsufficientFunds:
		return map[string]string{"seen": balanceText(t.FromBalance, t.Scale), "allowed": amountText(decimal.Zero, t.Scale)}
	default:
		return nil
	}
}

// notVoidedText returns why a transfer could not be voided.
func notVoidedText(e *ledger.RefusedError) string {
	why := "it is not pending"
	switch e.Reason {
	case ledger.AlreadyPosted:
		why = "it was posted before, and is final"
		if e.Transfer.Kind() == ledger.KindScheduled {
			why = "its money has moved; reverse it instead"
		}
	case ledger.HoldExpired:
		why = "it has expired"
	default: // NOT_PENDING: no hold and not scheduled, or refused
	}
	return fmt.Sprintf("transfer %s cannot be voided: %s", e.Transfer.ID, why)
}
