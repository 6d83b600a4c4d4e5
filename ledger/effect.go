package ledger

import (
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// effect executes a command that passed the rules, with the amount that it may have, and records
// it.
func (d *decider) effect(i int, amount decimal.Decimal) {
	c := &d.commands[i]
	from, to := d.Accounts[c.From], d.Accounts[c.To]
	t := d.newTransfer(c)
	t.Amount, t.Status = amount, TransferSuccess
	switch c.Verb {
	case verbHold:
		from.Held, to.Incoming = from.Held.Add(amount), to.Incoming.Add(amount)
		from.Changes++
		to.Changes++
		from.count(amount)
		t.Status = TransferInit
		t.Detail.Open = decimal.NewNullDecimal(amount)
		t.Detail.DueTime = c.Options.due(d.clock)
	case verbSchedule:
		t.Status = TransferInit
		t.Detail.Open = decimal.NewNullDecimal(decimal.Zero)
		t.Detail.DueTime = c.Options.due(d.clock)
	case verbPost:
		from.Held, to.Incoming = from.Held.Sub(amount), to.Incoming.Sub(amount)
		move(amount, from, to)
	case verbReverse:
		move(amount, from, to)
	default:
		move(amount, from, to)
		from.count(amount)
	}
	d.record(i, &t)
}

// move takes the amount from one account and gives it to the other, an entry of each.
func move(amount decimal.Decimal, from, to *AccountState) {
	from.Balance = from.Balance.Sub(amount)
	to.Balance = to.Balance.Add(amount)
	for _, s := range [...]*AccountState{from, to} {
		s.Entries++
		s.Moves++
		s.Changes++
	}
}

// count adds a payment to the usage of each limit.
func (s *AccountState) count(amount decimal.Decimal) {
	for i := range s.Usage {
		s.Usage[i].Amount = s.Usage[i].Amount.Add(amount)
		s.Usage[i].Count++
	}
}

// refuse records a refused command.
func (d *decider) refuse(i int, r *refusal) {
	c := &d.commands[i]
	t := d.newTransfer(c)
	t.Status, t.Reason = TransferFailed, r.reason
	if r.figures != nil {
		t.detail().Refusal = r.figures
	}
	if c.derived {
		// The id that follows from the target's stands for a success, which may still come.
		t.ID = uuid.Must(uuid.NewV7())
	}
	d.record(i, &t)
}

// newTransfer is the record of a command, but for what becomes of it.
func (d *decider) newTransfer(c *Command) Transfer {
	t := Transfer{
		ID: c.ID, From: c.From, To: c.To, Amount: c.Amount, Currency: c.Currency, Reference: c.Reference,
		Metadata: c.Metadata, Version: 1, CreateTime: d.now, UpdateTime: d.now,
	}
	// The currency is the payer's; a refused transfer has that of whichever account exists, or the
	// one requested.
	if from, to := d.Accounts[c.From], d.Accounts[c.To]; from != nil {
		t.Currency, t.Scale = from.Currency.Code, from.Currency.Scale
	} else if to != nil {
		t.Currency, t.Scale = to.Currency.Code, to.Currency.Scale
	}
	if c.Plain() && c.GroupID == uuid.Nil {
		return t
	}
	t.Detail = &TransferDetail{Kind: c.Verb.kind(), ParentID: c.Target, GroupID: c.GroupID}
	if t.Detail.Kind == KindHold {
		t.Detail.Posted = decimal.NewNullDecimal(decimal.Zero)
	}
	if o := c.Options; o != nil {
		if o.UpTo {
			t.Detail.Requested, t.Detail.Floor = decimal.NewNullDecimal(c.Amount), o.UpToFloor
		}
		if !o.EffectiveTime.IsZero() {
			t.Detail.EffectiveTime = &o.EffectiveTime
		}
	}
	return t
}

// kind is that of the transfer which the verb makes.
func (v verb) kind() TransferKind {
	switch v {
	case verbHold:
		return KindHold
	case verbSchedule:
		return KindScheduled
	case verbPost:
		return KindCapture
	case verbReverse:
		return KindReversal
	case verbExecuteDue:
		return KindExecution
	default:
		return KindTransfer
	}
}

// due is when a hold expires, or a scheduled transfer is to be executed; nil: never.
func (o *TransferOptions) due(clock time.Time) *time.Time {
	var due time.Time
	switch {
	case !o.ExecuteTime.IsZero():
		due = o.ExecuteTime
	case !o.ExpireTime.IsZero():
		due = o.ExpireTime
	case o.HoldTTL > 0:
		due = clock.Add(o.HoldTTL).Truncate(time.Microsecond)
	default:
		return nil
	}
	return &due
}

// record adds the ledger row of a command that was decided, with the balances as they are after it.
func (d *decider) record(i int, t *Transfer) {
	var fromSequence, toSequence int64
	if from := d.Accounts[t.From]; from != nil {
		t.FromBalance, fromSequence = decimal.NewNullDecimal(from.Balance), from.Entries
	}
	if to := d.Accounts[t.To]; to != nil {
		t.ToBalance, toSequence = decimal.NewNullDecimal(to.Balance), to.Entries
	}
	if t.Status != TransferSuccess {
		fromSequence, toSequence = 0, 0
	}
	d.Outcomes[i] = Outcome{Transfer: *t}
	d.earlier[t.ID] = i
	d.Recorded = append(d.Recorded, recorded{i, fromSequence, toSequence})
}

// truncate takes back the rows from n on.
func (d *decider) truncate(n int) {
	for _, r := range d.Recorded[n:] {
		delete(d.earlier, d.commands[r.Command].ID)
		d.Outcomes[r.Command] = Outcome{}
	}
	d.Recorded = d.Recorded[:n]
}
