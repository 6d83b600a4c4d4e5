package ledger

import (
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// effect executes a command that was judged, with the amount that it may have, and records it.
func (d *decider) effect(i int, amount decimal.Decimal) {
	c := &d.commands[i]
	from, to := d.accounts[c.From], d.accounts[c.To]
	t := d.newTransfer(c)
	t.Amount, t.Status = amount, TransferSuccess
	switch c.verb {
	case verbHold:
		from.held, to.incoming = from.held.Add(amount), to.incoming.Add(amount)
		from.changes++
		to.changes++
		from.count(amount)
		t.Status = TransferInit
		t.Detail.Open = decimal.NewNullDecimal(amount)
		t.Detail.DueTime = c.Options.due(d.clock)
	case verbSchedule:
		t.Status = TransferInit
		t.Detail.Open = decimal.NewNullDecimal(decimal.Zero)
		t.Detail.DueTime = c.Options.due(d.clock)
	case verbPost:
		from.held, to.incoming = from.held.Sub(amount), to.incoming.Sub(amount)
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
func move(amount decimal.Decimal, from, to *state) {
	from.balance = from.balance.Sub(amount)
	to.balance = to.balance.Add(amount)
	for _, s := range [...]*state{from, to} {
		s.entries++
		s.moves++
		s.changes++
	}
}

// count adds a payment to the usage of each limit.
func (s *state) count(amount decimal.Decimal) {
	for i := range s.usage {
		s.usage[i].amount = s.usage[i].amount.Add(amount)
		s.usage[i].count++
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
func (d *decider) newTransfer(c *command) Transfer {
	t := Transfer{
		ID: c.ID, From: c.From, To: c.To, Amount: c.Amount, Currency: c.Currency, Reference: c.Reference,
		Metadata: c.Metadata, Version: 1, CreateTime: d.now, UpdateTime: d.now,
	}
	// The currency is the payer's; a refused transfer has that of whichever account there is, or what was asked for.
	if from, to := d.accounts[c.From], d.accounts[c.To]; from != nil {
		t.Currency, t.Scale = from.currency.Code, from.currency.Scale
	} else if to != nil {
		t.Currency, t.Scale = to.currency.Code, to.currency.Scale
	}
	if c.plain() && c.groupID == uuid.Nil {
		return t
	}
	t.Detail = &TransferDetail{Kind: c.verb.kind(), ParentID: c.target, GroupID: c.groupID}
	if t.Detail.Kind == KindHold {
		t.Detail.Posted = decimal.NewNullDecimal(decimal.Zero)
	}
	if o := c.Options; o != nil {
		if o.UpTo {
			t.Detail.Asked, t.Detail.Floor = decimal.NewNullDecimal(c.Amount), o.UpToFloor
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
	case verbSettle:
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
	if from := d.accounts[t.From]; from != nil {
		t.FromBalance, fromSequence = decimal.NewNullDecimal(from.balance), from.entries
	}
	if to := d.accounts[t.To]; to != nil {
		t.ToBalance, toSequence = decimal.NewNullDecimal(to.balance), to.entries
	}
	if t.Status != TransferSuccess {
		fromSequence, toSequence = 0, 0
	}
	d.outcomes[i] = Outcome{Transfer: *t}
	d.earlier[t.ID] = i
	d.recorded = append(d.recorded, recorded{i, fromSequence, toSequence})
}

// truncate takes back the rows from n on.
func (d *decider) truncate(n int) {
	for _, r := range d.recorded[n:] {
		delete(d.earlier, d.commands[r.command].ID)
		d.outcomes[r.command] = Outcome{}
	}
	d.recorded = d.recorded[:n]
}
