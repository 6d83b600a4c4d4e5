package ledger

import (
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// A refusal says why a valid command cannot be executed now, and with which figures.
type refusal struct {
	reason  ErrorReason
	figures map[string]string // what the reason alone does not say: seen, allowed, …; nil: nothing
}

// judge answers how much a valid command of a new transfer may move or reserve now, or why nothing. The order of the
// checks is that of the reasons' declaration.
func (d *decider) judge(c *command) (decimal.Decimal, *refusal) {
	from, to := d.accounts[c.From], d.accounts[c.To]
	switch {
	case from == nil:
		return c.Amount, &refusal{reason: FromAccountNotFound}
	case to == nil:
		return c.Amount, &refusal{reason: ToAccountNotFound}
	case c.mismatches(from, to):
		return c.Amount, &refusal{reason: CurrencyMismatch}
	case from.status == AccountClosed, to.status == AccountClosed:
		return c.Amount, &refusal{reason: ReasonAccountClosed}
	case c.verb == verbSchedule:
		return c.Amount, nil // everything else when it is due
	case from.status == AccountFrozen, to.status == AccountFrozen:
		return c.Amount, &refusal{reason: ReasonAccountFrozen}
	}
	if from.policy != nil && from.policy.DebitBlock.stands(d.clock) {
		return c.Amount, &refusal{DebitsBlocked, from.policy.DebitBlock.figures()}
	}
	if to.policy != nil && to.policy.CreditBlock.stands(d.clock) {
		return c.Amount, &refusal{CreditsBlocked, to.policy.CreditBlock.figures()}
	}
	if c.verb == verbPost {
		return c.Amount, nil // the rest was checked when the hold was made
	}
	if r := c.unmet(from, to); r != nil {
		return c.Amount, r
	}
	amount := c.Amount
	if c.Options != nil && c.Options.UpTo {
		floor := c.Options.sweepFloor(from)
		amount = sweep(amount, floor, from, to)
		if !amount.IsPositive() {
			amount = c.Amount
			if !from.available().GreaterThan(floor) {
				return amount, &refusal{InsufficientFunds, from.seenAllowed(from.available(), floor)}
			}
			return amount, to.full()
		}
	}
	return amount, d.exceeds(c, amount, from, to)
}

// exceeds says which bound of the accounts the amount goes beyond; nil: none.
func (d *decider) exceeds(c *command, amount decimal.Decimal, from, to *state) *refusal {
	limited := from.policy != nil && c.verb != verbReverse
	if limited && from.policy.MaxTransfer != nil && amount.GreaterThan(*from.policy.MaxTransfer) {
		return &refusal{TransferCapExceeded, from.seenAllowed(amount, *from.policy.MaxTransfer)}
	}
	if from.floor.Valid && !c.force && from.available().Sub(amount).LessThan(from.floor.Decimal) {
		r := from.insufficient()
		if c.plain() && c.group == 0 && from.held.IsZero() && from.floor.Decimal.IsZero() {
			r.figures = nil // the record has the balance, which says it all
		}
		return r
	}
	if to.ceiling.Valid && to.balance.Add(to.incoming).Add(amount).GreaterThan(to.ceiling.Decimal) {
		return to.full()
	}
	if limited {
		return from.overLimit(amount)
	}
	return nil
}

// sweepFloor is how low a sweep may bring what its payer has available: to zero unless it says
// otherwise, and never below the account's own floor.
func (o *TransferOptions) sweepFloor(from *state) decimal.Decimal {
	floor := o.UpToFloor.Decimal
	if from.floor.Valid {
		floor = decimal.Max(floor, from.floor.Decimal)
	}
	return floor
}

// sweep is as much of bound as the payer has above the floor and the payee may still take; zero or
// less: nothing.
func sweep(bound, floor decimal.Decimal, from, to *state) decimal.Decimal {
	bound = decimal.Min(bound, from.available().Sub(floor))
	if to.ceiling.Valid {
		bound = decimal.Min(bound, to.ceiling.Decimal.Sub(to.balance).Sub(to.incoming))
	}
	return bound
}

// unmet says which condition of the caller's is not met; nil: none.
func (c *command) unmet(from, to *state) *refusal {
	o := c.Options
	if o == nil {
		return nil
	}
	for _, side := range [...]struct {
		account         string
		s               *state
		version         *int64
		atLeast, atMost decimal.NullDecimal
	}{
		{c.From.String(), from, o.FromVersion, o.FromAtLeast, o.FromAtMost},
		{c.To.String(), to, o.ToVersion, o.ToAtLeast, o.ToAtMost},
	} {
		s := side.s
		var r *refusal
		switch {
		case side.version != nil && *side.version != s.version+s.changes:
			r = &refusal{VersionMismatch, map[string]string{
				"seen": strconv.FormatInt(s.version+s.changes, 10), "allowed": strconv.FormatInt(*side.version, 10),
			}}
		case side.atLeast.Valid && s.balance.LessThan(side.atLeast.Decimal):
			r = &refusal{BalanceConditionFailed, s.seenAllowed(s.balance, side.atLeast.Decimal)}
			r.figures["condition"] = "at least"
		case side.atMost.Valid && s.balance.GreaterThan(side.atMost.Decimal):
			r = &refusal{BalanceConditionFailed, s.seenAllowed(s.balance, side.atMost.Decimal)}
			r.figures["condition"] = "at most"
		default:
			continue
		}
		r.figures["account_id"] = side.account
		return r
	}
	return nil
}

// insufficient is the refusal of a debit that would go below the floor.
func (s *state) insufficient() *refusal {
	return &refusal{InsufficientFunds, s.seenAllowed(s.available(), s.floor.Decimal)}
}

// full is the refusal of a credit that would go above the ceiling.
func (s *state) full() *refusal {
	return &refusal{MaxBalanceExceeded, s.seenAllowed(s.balance.Add(s.incoming), s.ceiling.Decimal)}
}

// overLimit says which rolling limit another payment of amount goes beyond; nil: none. Amounts come before counts.
func (s *state) overLimit(amount decimal.Decimal) *refusal {
	for i, l := range s.policy.Limits {
		if l.MaxAmount != nil && s.usage[i].amount.Add(amount).GreaterThan(*l.MaxAmount) {
			figures := s.seenAllowed(s.usage[i].amount, *l.MaxAmount)
			figures["window"] = seconds(l.Window)
			return &refusal{AmountLimitExceeded, figures}
		}
	}
	for i, l := range s.policy.Limits {
		if l.MaxCount != nil && s.usage[i].count >= *l.MaxCount {
			return &refusal{CountLimitExceeded, map[string]string{
				"seen": strconv.FormatInt(s.usage[i].count, 10), "allowed": strconv.FormatInt(*l.MaxCount, 10),
				"window": seconds(l.Window),
			}}
		}
	}
	return nil
}

// seenAllowed are the figures of a bound.
func (s *state) seenAllowed(seen, allowed decimal.Decimal) map[string]string {
	scale := s.currency.Scale
	return map[string]string{"seen": seen.StringFixed(scale), "allowed": allowed.StringFixed(scale)}
}

// figures say why, and until when.
func (b *Block) figures() map[string]string {
	f := map[string]string{"block_reason": b.Reason}
	if b.End != nil {
		f["block_end_time"] = b.End.UTC().Format(time.RFC3339Nano)
	}
	return f
}

// seconds spells a duration as protobuf's JSON does.
func seconds(d time.Duration) string {
	return decimal.New(int64(d), -9).String() + "s"
}

// invalidAt returns an InvalidError when one of the times cannot be, at that time of the clock. now
// is when the transfer will have been made.
func (o *TransferOptions) invalidAt(clock, now time.Time) error {
	switch {
	case o == nil:
		return nil
	case !o.ExpireTime.IsZero() && !o.ExpireTime.After(clock):
		return &InvalidError{Field: "expire_time", Reason: "must be in the future"}
	case !o.ExecuteTime.IsZero() && !o.ExecuteTime.After(clock):
		return &InvalidError{Field: "execute_time", Reason: "must be in the future"}
	case o.EffectiveTime.After(now):
		return &InvalidError{Field: "effective_time", Reason: "must not be in the future"}
	}
	return nil
}

// counts reports whether what the verb pays counts for rolling limits.
func (v verb) counts() bool { return v == verbMove || v == verbHold || v == verbSettle }
