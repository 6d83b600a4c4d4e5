package postgres

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
	"internaltransfers/internal/stored"
	"internaltransfers/ledger"
)

// applyParams is the net change as rows in the order of ids, the order in which rows are locked.
func applyParams(f ledger.NetChanges) db.AccountsApplyParams {
	n := len(f)
	p := db.AccountsApplyParams{
		AccountIDs: slices.SortedFunc(maps.Keys(f), ledger.CompareIDs),
		Deltas:     make([]decimal.Decimal, 0, n),
		Debits:     make([]decimal.Decimal, 0, n),
		Moves:      make([]int64, 0, n),
		KnownIDs:   []uuid.UUID{},
	}
	for _, id := range p.AccountIDs {
		a := f[id]
		p.Deltas = append(p.Deltas, a.Delta)
		p.Debits = append(p.Debits, a.Debits)
		p.Moves = append(p.Moves, a.Moves)
	}
	return p
}

// lockedParams is what the decision changes of locked accounts, in the order of ids.
func lockedParams(d *ledger.Decision) db.AccountsSettleParams {
	var p db.AccountsSettleParams
	for _, id := range slices.SortedFunc(maps.Keys(d.Accounts), ledger.CompareIDs) {
		s := d.Accounts[id]
		if s.Changes == 0 {
			continue
		}
		// A floor that a forced reversal lowered is as before once the account is above it again.
		var lowered decimal.NullDecimal
		if s.Floor.Valid && s.Available().LessThan(s.Floor.Decimal) {
			lowered = decimal.NewNullDecimal(s.Available())
		}
		p.AccountIDs = append(p.AccountIDs, id)
		p.Versions = append(p.Versions, s.Version)
		p.Deltas = append(p.Deltas, s.Balance.Sub(s.Before.Balance))
		p.HeldDeltas = append(p.HeldDeltas, s.Held.Sub(s.Before.Held))
		p.IncomingDeltas = append(p.IncomingDeltas, s.Incoming.Sub(s.Before.Incoming))
		p.ForcedFloors = append(p.ForcedFloors, nullText(lowered))
		p.Moves = append(p.Moves, s.Moves)
		p.Changes = append(p.Changes, s.Changes)
	}
	return p
}

// transferParams is what a decision changes of transfers that were there before.
type transferParams struct {
	rows     db.TransfersAdvanceParams       // of those that were INIT
	details  db.TransferDetailsAdvanceParams // of those that have details
	reversed db.TransfersReversedParams      // of those that have none yet
}

func transferUpdates(d *ledger.Decision) transferParams {
	var c transferParams
	for _, id := range slices.SortedFunc(maps.Keys(d.Targets), ledger.CompareIDs) {
		t := d.Targets[id]
		if !t.Changed {
			continue
		}
		if t.Advanced {
			c.rows.TransferIDs = append(c.rows.TransferIDs, id)
			c.rows.Statuses = append(c.rows.Statuses, string(t.Status))
			c.rows.ErrorReasons = append(c.rows.ErrorReasons, string(t.Reason))
			c.rows.FromBalances = append(c.rows.FromBalances, t.FromBalance.Decimal)
			c.rows.ToBalances = append(c.rows.ToBalances, t.ToBalance.Decimal)
			c.rows.Versions = append(c.rows.Versions, int32(t.Version))
		}
		if t.Plain {
			c.reversed.TransferIDs = append(c.reversed.TransferIDs, id)
			c.reversed.ReversedAmounts = append(c.reversed.ReversedAmounts, t.Detail.Reversed.Decimal)
			continue
		}
		c.details.TransferIDs = append(c.details.TransferIDs, id)
		c.details.OpenAmounts = append(c.details.OpenAmounts, nullText(t.Detail.Open))
		c.details.PostedAmounts = append(c.details.PostedAmounts, nullText(t.Detail.Posted))
		c.details.ReversedAmounts = append(c.details.ReversedAmounts, nullText(t.Detail.Reversed))
		c.details.Refusals = append(c.details.Refusals, encodeFigures(t.Detail.Refusal))
	}
	return c
}

// changeParams is the changes of transfers as they are stored, in order of decision, but for their
// positions.
func changeParams(d *ledger.Decision, at time.Time) db.TransferChangesInsertParams {
	p := db.TransferChangesInsertParams{DecidedAt: at}
	for i := range d.Changes {
		t := &d.Changes[i].Transfer
		p.TransferIDs = append(p.TransferIDs, t.ID)
		p.Statuses = append(p.Statuses, string(t.Status))
		p.ErrorReasons = append(p.ErrorReasons, string(t.Reason))
		p.FromBalances = append(p.FromBalances, nullText(t.FromBalance))
		p.ToBalances = append(p.ToBalances, nullText(t.ToBalance))
		p.Versions = append(p.Versions, int32(t.Version))
		p.UpdateTimes = append(p.UpdateTimes, t.UpdateTime)
		p.OpenAmounts = append(p.OpenAmounts, nullText(t.Detail.Open))
		p.PostedAmounts = append(p.PostedAmounts, nullText(t.Detail.Posted))
		p.ReversedAmounts = append(p.ReversedAmounts, nullText(t.Detail.Reversed))
		p.Refusals = append(p.Refusals, encodeFigures(t.Detail.Refusal))
	}
	return p
}

// dividePositions divides positions, which grow, among the batch's rows and its changes, in order
// of decision.
func dividePositions(d *ledger.Decision, positions []int64) (rows, changes []int64) {
	rows = make([]int64, len(d.Recorded))
	for row := 0; row <= len(rows); row++ {
		for len(changes) < len(d.Changes) && d.Changes[len(changes)].After <= row {
			changes = append(changes, positions[row+len(changes)])
		}
		if row < len(rows) {
			rows[row] = positions[row+len(changes)]
		}
	}
	return rows, changes
}

// groupParams is the groups of a decision.
func groupParams(d *ledger.Decision) db.GroupsInsertParams {
	var p db.GroupsInsertParams
	for _, g := range d.Groups {
		p.GroupIDs, p.Sizes = append(p.GroupIDs, g.Id), append(p.Sizes, int32(g.Size))
	}
	return p
}

// detailParams is the details of the recorded transfers.
func detailParams(d *ledger.Decision, commands []ledger.Command) db.TransferDetailsInsertParams {
	var p db.TransferDetailsInsertParams
	for _, r := range d.Recorded {
		t := &d.Outcomes[r.Command].Transfer
		x := t.Detail
		if x == nil {
			continue
		}
		var from, to string
		if x.Open.Valid || x.EffectiveTime != nil || x.Kind == ledger.KindHold || x.Kind == ledger.KindScheduled {
			from, to = t.From.String(), t.To.String()
		}
		p.TransferIDs = append(p.TransferIDs, t.ID)
		p.Kinds = append(p.Kinds, string(x.Kind))
		p.FromAccounts = append(p.FromAccounts, from)
		p.ToAccounts = append(p.ToAccounts, to)
		p.DueTimes = append(p.DueTimes, orZero(x.DueTime))
		p.OpenAmounts = append(p.OpenAmounts, nullText(x.Open))
		p.PostedAmounts = append(p.PostedAmounts, nullText(x.Posted))
		p.Parents = append(p.Parents, idText(x.ParentID))
		p.Groups = append(p.Groups, idText(x.GroupID))
		p.EffectiveTimes = append(p.EffectiveTimes, orZero(x.EffectiveTime))
		p.AskedAmounts = append(p.AskedAmounts, nullText(x.Requested))
		p.UpToFloors = append(p.UpToFloors, nullText(x.Floor))
		p.RequestFingerprints = append(p.RequestFingerprints, commands[r.Command].Fingerprint)
		p.Refusals = append(p.Refusals, encodeFigures(x.Refusal))
	}
	return p
}

// rowParams is the ledger rows of a decision. positions has one for each; nil: the next ones. All
// columns grow together: Postgres pads unequal arrays with NULL.
func rowParams(d *ledger.Decision, commands []ledger.Command, positions []int64, createTime time.Time) db.TransfersInsertParams {
	n := len(d.Recorded)
	if positions == nil {
		positions = make([]int64, n)
	}
	p := db.TransfersInsertParams{
		CreateTime:      createTime,
		Positions:       positions,
		TransferIDs:     make([]uuid.UUID, 0, n),
		FromAccountIDs:  make([]uuid.UUID, 0, n),
		ToAccountIDs:    make([]uuid.UUID, 0, n),
		Amounts:         make([]decimal.Decimal, 0, n),
		Currencies:      make([]string, 0, n),
		AskedCurrencies: make([]string, 0, n),
		Statuses:        make([]string, 0, n),
		ErrorReasons:    make([]string, 0, n),
		FromBalances:    make([]string, 0, n),
		ToBalances:      make([]string, 0, n),
		FromSequences:   make([]int64, 0, n),
		ToSequences:     make([]int64, 0, n),
		ReferenceTexts:  make([]string, 0, n),
		Metadata:        make([]json.RawMessage, 0, n),
	}
	for _, r := range d.Recorded {
		t := &d.Outcomes[r.Command].Transfer
		p.TransferIDs = append(p.TransferIDs, t.ID)
		p.FromAccountIDs = append(p.FromAccountIDs, t.From)
		p.ToAccountIDs = append(p.ToAccountIDs, t.To)
		p.Amounts = append(p.Amounts, t.Amount)
		p.Currencies = append(p.Currencies, t.Currency)
		p.AskedCurrencies = append(p.AskedCurrencies, commands[r.Command].Currency)
		p.Statuses = append(p.Statuses, string(t.Status))
		p.ErrorReasons = append(p.ErrorReasons, string(t.Reason))
		p.FromBalances = append(p.FromBalances, nullText(t.FromBalance))
		p.ToBalances = append(p.ToBalances, nullText(t.ToBalance))
		p.FromSequences = append(p.FromSequences, r.FromSequence)
		p.ToSequences = append(p.ToSequences, r.ToSequence)
		p.ReferenceTexts = append(p.ReferenceTexts, t.Reference)
		p.Metadata = append(p.Metadata, stored.EncodeMetadata(t.Metadata))
	}
	return p
}

func nullText(d decimal.NullDecimal) string {
	if !d.Valid {
		return ""
	}
	return d.Decimal.String()
}

func idText(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// encodeFigures returns the figures of a refusal as they are stored; empty: there are none.
func encodeFigures(figures map[string]string) string {
	if len(figures) == 0 {
		return ""
	}
	return string(stored.EncodeMetadata(figures))
}
