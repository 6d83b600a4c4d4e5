package server

import (
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/ledger"
)

// TestEveryReasonHasASentence gives each reason of the API to a refusal, with all figures.
func TestEveryReasonHasASentence(t *testing.T) {
	t.Parallel()
	from, to, parent := uuid.New(), uuid.New(), uuid.New()
	figures := map[string]string{
		"seen": "11.00", "allowed": "22.00", "window": "33s", "account_id": "44", "condition": "at least",
		"block_reason": "fraud?", "block_end_time": "2999-01-01T00:00:00Z",
	}
	bound := []string{"11.00", "22.00"}
	said := map[ledger.ErrorReason][]string{
		ledger.FromAccountNotFound: {from.String()}, ledger.ToAccountNotFound: {to.String()}, ledger.CurrencyMismatch: {"currency"},
		ledger.NotReversible: {parent.String()}, ledger.NotPending: {parent.String()}, ledger.AlreadyPosted: {parent.String()},
		ledger.AlreadyVoided: {parent.String(), "voided"}, ledger.HoldExpired: {parent.String(), "expired"},
		ledger.HoldAmountExceeded: {parent.String(), "5.00 USD"}, ledger.AlreadyReversed: {parent.String(), "5.00 USD"},
		ledger.ReasonAccountClosed: {"closed"}, ledger.ReasonAccountFrozen: {"frozen"},
		ledger.DebitsBlocked:       {from.String(), "fraud?", "until 2999"},
		ledger.CreditsBlocked:      {to.String(), "fraud?", "until 2999"},
		ledger.VersionMismatch:     append([]string{"account 44"}, bound...),
		ledger.TransferCapExceeded: {from.String(), "22.00", "5.00 USD"},
		ledger.InsufficientFunds:   append([]string{from.String(), "5.00 USD"}, bound...),
		ledger.MaxBalanceExceeded:  append([]string{to.String()}, bound...),
		ledger.AmountLimitExceeded: append([]string{from.String(), "33s"}, bound...),
		ledger.CountLimitExceeded:  append([]string{from.String(), "33s"}, bound...),
		ledger.GroupFailed:         {"group"}, ledger.Voided: {"voided"},
		ledger.BalanceConditionFailed: append([]string{"44", "at least"}, bound...),
	}
	for number, name := range transfersv1.Transfer_ErrorReason_name {
		reason := ledger.ErrorReason(name)
		if number == 0 {
			continue
		}
		transfer := ledger.Transfer{
			ID: uuid.New(), From: from, To: to, Amount: decimal.New(5, 0), Scale: 2, Currency: "USD", Reason: reason,
			Detail: &ledger.TransferDetail{Kind: ledger.KindCapture, ParentID: parent, Refusal: figures},
		}
		failed := connectError(&refusedError{transfer: transfer})
		if len(said[reason]) == 0 || strings.Contains(failed.Message(), name) {
			t.Errorf("%s has no sentence: %v", reason, failed)
		}
		for _, part := range append(said[reason], "capture "+transfer.ID.String()) {
			if !strings.Contains(failed.Message(), part) {
				t.Errorf("%s: %q does not say %q", reason, failed.Message(), part)
			}
		}
		code := connect.CodeFailedPrecondition
		if reason == ledger.VersionMismatch {
			code = connect.CodeAborted
		}
		if failed.Code() != code {
			t.Errorf("%s: %s, want %s", reason, failed.Code(), code)
		}
	}
}

func TestNotVoided(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind   ledger.TransferKind
		reason ledger.ErrorReason
		text   string
	}{
		{ledger.KindTransfer, ledger.NotPending, "not pending"},
		{ledger.KindHold, ledger.AlreadyPosted, "posted before"},
		{ledger.KindScheduled, ledger.AlreadyPosted, "reverse it"},
		{ledger.KindHold, ledger.HoldExpired, "expired"},
	} {
		err := &ledger.RefusedError{Transfer: ledger.Transfer{Detail: &ledger.TransferDetail{Kind: tc.kind}}, Reason: tc.reason}
		if failed := connectError(err); failed.Code() != connect.CodeFailedPrecondition || !strings.Contains(failed.Message(), tc.text) {
			t.Errorf("%s %s: %v, want %q", tc.kind, tc.reason, failed, tc.text)
		}
	}
}
