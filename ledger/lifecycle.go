package ledger

import (
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// A RefusedError says that a transfer cannot be voided as it is. Nothing was recorded.
type RefusedError struct {
	Transfer Transfer
	Reason   ErrorReason // NotPending, AlreadyPosted or HoldExpired
}

func (e *RefusedError) Error() string {
	return "transfer " + e.Transfer.ID.String() + ": " + string(e.Reason)
}

// DerivedID is the id of the one transfer that is made of another for some purpose, however often
// the call is repeated.
func DerivedID(of uuid.UUID, purpose string) uuid.UUID { return uuid.NewSHA1(of, []byte(purpose)) }

// The purposes of derived ids.
const (
	purposePost    = "post"
	purposeReverse = "reverse"
)

// Aim gives a command that is about another transfer what follows from that.
func (c *Command) Aim(t *Transfer) {
	c.From, c.To = t.From, t.To
	if c.Verb == verbReverse {
		c.From, c.To = t.To, t.From
	}
	if c.Reference == "" {
		c.Reference = t.Reference
	}
	if c.Verb == verbExecuteDue {
		c.ID, c.Amount, c.Metadata = uuid.Must(uuid.NewV7()), t.Amount, t.Metadata
		if asked := t.Detail; asked != nil && asked.Requested.Valid {
			c.Options = &TransferOptions{UpTo: true, UpToFloor: asked.Floor}
		}
	}
}

// targetOf returns a transfer that commands are about, as decided so far; nil: there is none.
func (d *decider) targetOf(id uuid.UUID) *target {
	if t := d.Targets[id]; t != nil {
		return t
	}
	s := d.stored[id]
	if s == nil {
		return nil
	}
	t := &target{Transfer: s.snapshot(), Plain: s.Detail == nil}
	d.Targets[id] = t
	return t
}

// aimed returns the target of a command; nil: there is none, or it came into being after the
// command's accounts were locked, so that it comes after the command.
func (d *decider) aimed(c *Command) *target {
	if c.From == uuid.Nil {
		return nil
	}
	return d.targetOf(c.Target)
}

// decideChild decides a command that makes a new transfer of another: a capture or a reversal.
func (d *decider) decideChild(i int) {
	c := &d.commands[i]
	t := d.aimed(c)
	if t == nil {
		d.Outcomes[i].Err = &NotFoundError{Kind: "transfer", ID: c.Target}
		return
	}
	left, r := t.left(c.Verb)
	switch {
	case c.all && r == nil:
		c.Amount = left
	case c.all:
		c.Amount = t.Amount
	default:
		if s := d.Accounts[c.From]; s != nil {
			if err := s.Currency.CheckPrecision("amount", c.Amount); err != nil {
				d.Outcomes[i].Err = err
				return
			}
		}
		if r == nil && c.Amount.GreaterThan(left) {
			r = &refusal{HoldAmountExceeded, d.Accounts[c.From].seenAllowed(c.Amount, left)}
			if c.Verb == verbReverse {
				r.reason = AlreadyReversed
			}
		}
	}
	amount := c.Amount
	if r == nil {
		amount, r = d.check(c)
	}
	if r != nil {
		d.refuse(i, r)
	} else {
		d.effect(i, amount)
		d.take(t, c, amount)
	}
	parent := t.snapshot()
	d.Outcomes[i].Parent = &parent
}

// left is how much of the target can still be captured or reversed, or why nothing.
func (t *target) left(v verb) (decimal.Decimal, *refusal) {
	if v == verbPost {
		if reason := t.pending(KindHold); reason != "" {
			return decimal.Zero, &refusal{reason: reason}
		}
		return t.Detail.Open.Decimal, nil
	}
	switch kind := t.Kind(); {
	case t.Status != TransferSuccess, kind == KindHold, kind == KindScheduled, kind == KindReversal:
		return decimal.Zero, &refusal{reason: NotReversible}
	case t.Detail == nil || !t.Detail.Reversed.Valid:
		return t.Amount, nil
	}
	left := t.Amount.Sub(t.Detail.Reversed.Decimal)
	if left.IsZero() {
		return left, &refusal{AlreadyReversed, map[string]string{
			"seen": t.Detail.Reversed.Decimal.StringFixed(t.Scale), "allowed": t.Amount.StringFixed(t.Scale),
		}}
	}
	return left, nil
}

// pending says why the target is none of the kinds that are still INIT; empty: it is one.
func (t *target) pending(kinds ...TransferKind) ErrorReason {
	is := false
	for _, k := range kinds {
		is = is || t.Kind() == k
	}
	switch {
	case !is:
		return NotPending
	case t.Status == TransferInit:
		return ""
	case t.Status == TransferSuccess:
		return AlreadyPosted
	case t.Reason == Voided:
		return AlreadyVoided
	case t.Reason == HoldExpired:
		return HoldExpired
	}
	return NotPending // refused when it was made, or when it was due
}

// take notes on the target that amount of it was captured or reversed.
func (d *decider) take(t *target, c *Command, amount decimal.Decimal) {
	detail := t.detail()
	if c.Verb == verbReverse {
		detail.Reversed = decimal.NewNullDecimal(detail.Reversed.Decimal.Add(amount))
		d.note(t)
		return
	}
	detail.Open.Decimal = detail.Open.Decimal.Sub(amount)
	detail.Posted.Decimal = detail.Posted.Decimal.Add(amount)
	if c.all || c.final || detail.Open.Decimal.IsZero() {
		d.release(t)
		t.Status = TransferSuccess
	}
	d.advance(t)
}

// release gives back what a hold still reserves.
func (d *decider) release(t *target) {
	open := t.Detail.Open.Decimal
	from, to := d.Accounts[t.From], d.Accounts[t.To]
	from.Held, to.Incoming = from.Held.Sub(open), to.Incoming.Sub(open)
	for i := range from.Usage {
		if !t.CreateTime.After(d.clock.Add(-from.Policy.Limits[i].Window)) {
			continue
		}
		from.Usage[i].Amount = from.Usage[i].Amount.Sub(open)
		if t.Detail.Posted.Decimal.IsZero() {
			from.Usage[i].Count--
		}
	}
	t.Detail.Open = decimal.NullDecimal{}
}

// note notes a change of the target, after what was recorded so far.
func (d *decider) note(t *target) {
	t.Changed = true
	d.Changes = append(d.Changes, change{t.snapshot(), len(d.Recorded)})
}

// advance notes a change of a transfer that was INIT before it.
func (d *decider) advance(t *target) {
	t.Advanced = true
	t.Version++
	if d.now.After(t.UpdateTime) {
		t.UpdateTime = d.now
	}
	t.FromBalance = decimal.NewNullDecimal(d.Accounts[t.From].Balance)
	t.ToBalance = decimal.NewNullDecimal(d.Accounts[t.To].Balance)
	d.note(t)
}

// end makes a pending transfer final without moving money.
func (d *decider) end(t *target, r *refusal) {
	if t.Kind() == KindHold {
		d.Accounts[t.From].Changes++
		d.Accounts[t.To].Changes++
		d.release(t)
	}
	t.Detail.Open = decimal.NullDecimal{}
	t.Status, t.Reason, t.Detail.Refusal = TransferFailed, r.reason, r.figures
	d.advance(t)
}

// void ends a hold or cancels a scheduled transfer.
func (d *decider) void(i int) {
	t := d.aimed(&d.commands[i])
	if t == nil {
		d.Outcomes[i].Err = &NotFoundError{Kind: "transfer", ID: d.commands[i].Target}
		return
	}
	switch reason := t.pending(KindHold, KindScheduled); reason {
	case "":
		d.end(t, &refusal{reason: Voided})
		d.Outcomes[i].Transfer = t.snapshot()
	case AlreadyVoided:
		d.Outcomes[i] = Outcome{Transfer: t.snapshot(), Replayed: true}
	default:
		d.Outcomes[i].Err = &RefusedError{Transfer: t.snapshot(), Reason: reason}
	}
}

// executeDue does what is due of a pending transfer. When nothing is (any more), the outcome is a
// replay.
func (d *decider) executeDue(i int) {
	c := &d.commands[i]
	t := d.aimed(c)
	if t == nil {
		d.Outcomes[i].Err = &NotFoundError{Kind: "transfer", ID: c.Target}
		return
	}
	// A hold that is due has been ended before the first command.
	if t.Status != TransferInit || t.Kind() != KindScheduled || d.clock.Before(*t.Detail.DueTime) {
		d.Outcomes[i] = Outcome{Transfer: t.snapshot(), Replayed: !t.Changed}
		return
	}
	amount, r := d.check(c)
	if r != nil {
		d.end(t, r)
		d.Outcomes[i].Transfer = t.snapshot()
		return
	}
	d.effect(i, amount)
	t.Status, t.Detail.Open = TransferSuccess, decimal.NullDecimal{}
	d.advance(t)
	parent := t.snapshot()
	d.Outcomes[i].Parent = &parent
}
