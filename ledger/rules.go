package ledger

import (
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// A refusal says why a valid command cannot be executed now, and with which figures.
type refusal struct {
	reason  ErrorReason
	figures map[string]string // what the reason does not say: seen, allowed, …; nil: nothing
}

// check returns how much a valid command of a new transfer may move or reserve now, or the refusal.
// It checks in the order in which the reasons are declared.
func (d *decider) check(c *Command) (decimal.Decimal, *refusal) {
	from, to := d.Accounts[c.From], d.Accounts[c.To]
	switch {
	case from == nil:
		return c.Amount, &refusal{reason: FromAccountNotFound}
	case to == nil:
		return c.Amount, &refusal{reason: ToAccountNotFound}
	case c.mismatches(from, to):
		return c.Amount, &refusal{reason: CurrencyMismatch}
	case from.Status == AccountClosed, to.Status == AccountClosed:
		return c.Amount, &refusal{reason: ReasonAccountClosed}
	case c.Verb == verbSchedule:
		return c.Amount, nil // everything else when it is due
	case from.Status == AccountFrozen, to.Status == AccountFrozen:
		return c.Amount, &refusal{reason: ReasonAccountFrozen}
	}
	if from.Policy != nil && from.Policy.DebitBlock.stands(d.clock) {
		return c.Amount, &refusal{DebitsBlocked, from.Policy.DebitBlock.figures()}
	}
	if to.Policy != nil && to.Policy.CreditBlock.stands(d.clock) {
		return c.Amount, &refusal{CreditsBlocked, to.Policy.CreditBlock.figures()}
	}
	if c.Verb == verbPost {
		return c.Amount, nil // the rest was checked when the hold was made
	}
	if r := c.failedCondition(from, to); r != nil {
		return c.Amount, r
	}
	amount := c.Amount
	if c.Options != nil && c.Options.UpTo {
		floor := c.Options.sweepFloor(from)
		amount = sweep(amount, floor, from, to)
		if !amount.IsPositive() {
			amount = c.Amount
			if !from.Available().GreaterThan(floor) {
				return amount, &refusal{InsufficientFunds, from.seenAllowed(from.Available(), floor)}
			}
			return amount, to.full()
		}
	}
	return amount, d.exceeds(c, amount, from, to)
}

// exceeds says which bound of the accounts the amount goes beyond; nil: none.
func (d *decider) exceeds(c *Command, amount decimal.Decimal, from, to *AccountState) *refusal {
	limited := from.Policy != nil && c.Verb != verbReverse
	if limited && from.Policy.MaxTransfer != nil && amount.GreaterThan(*from.Policy.MaxTransfer) {
		return &refusal{TransferCapExceeded, from.seenAllowed(amount, *from.Policy.MaxTransfer)}
	}
	if from.Floor.Valid && !c.force && from.Available().Sub(amount).LessThan(from.Floor.Decimal) {
		r := from.insufficient()
		if c.Plain() && c.Group == 0 && from.Held.IsZero() && from.Floor.Decimal.IsZero() {
			r.figures = nil // the record has the balance, which says it all
		}
		return r
	}
	if to.Ceiling.Valid && to.Balance.Add(to.Incoming).Add(amount).GreaterThan(to.Ceiling.Decimal) {
		return to.full()
	}
	if limited {
		return from.overLimit(amount)
	}
	return nil
}

// sweepFloor is how low a sweep may bring what its payer has available: to zero unless it says
// otherwise, and never below the account's own floor.
func (o *TransferOptions) sweepFloor(from *AccountState) decimal.Decimal {
	floor := o.UpToFloor.Decimal
	if from.Floor.Valid {
		floor = decimal.Max(floor, from.Floor.Decimal)
	}
	return floor
}

// sweep is as much of bound as the payer has above the floor and the payee may still take; zero or
// less: nothing.
func sweep(bound, floor decimal.Decimal, from, to *AccountState) decimal.Decimal {
	bound = decimal.Min(bound, from.Available().Sub(floor))
	if to.Ceiling.Valid {
		bound = decimal.Min(bound, to.Ceiling.Decimal.Sub(to.Balance).Sub(to.Incoming))
	}
	return bound
}

// failedCondition says which condition of the caller's is not met; nil: none.
func (c *Command) failedCondition(from, to *AccountState) *refusal {
	o := c.Options
	if o == nil {
		return nil
	}
	for _, side := range [...]struct {
		account         string
		s               *AccountState
		version         *int64
		atLeast, atMost decimal.NullDecimal
	}{
		{c.From.String(), from, o.FromVersion, o.FromAtLeast, o.FromAtMost},
		{c.To.String(), to, o.ToVersion, o.ToAtLeast, o.ToAtMost},
	} {
		s := side.s
		var r *refusal
		switch {
		case side.version != nil && *side.version != s.Version+s.Changes:
			r = &refusal{VersionMismatch, map[string]string{
				"seen": strconv.FormatInt(s.Version+s.Changes, 10), "allowed": strconv.FormatInt(*side.version, 10),
			}}
		case side.atLeast.Valid && s.Balance.LessThan(side.atLeast.Decimal):
			r = &refusal{BalanceConditionFailed, s.seenAllowed(s.Balance, side.atLeast.Decimal)}
			r.figures["condition"] = "at least"
		case side.atMost.Valid && s.Balance.GreaterThan(side.atMost.Decimal):
			r = &refusal{BalanceConditionFailed, s.seenAllowed(s.Balance, side.atMost.Decimal)}
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
func (s *AccountState) insufficient() *refusal {
	return &refusal{InsufficientFunds, s.seenAllowed(s.Available(), s.Floor.Decimal)}
}

// full is the refusal of a credit that would go above the ceiling.
func (s *AccountState) full() *refusal {
	return &refusal{MaxBalanceExceeded, s.seenAllowed(s.Balance.Add(s.Incoming), s.Ceiling.Decimal)}
}

// overLimit says which rolling limit another payment of amount goes beyond; nil: none. Amounts come
// before counts.
func (s *AccountState) overLimit(amount decimal.Decimal) *refusal {
	for i, l := range s.Policy.Limits {
		if l.MaxAmount != nil && s.Usage[i].Amount.Add(amount).GreaterThan(*l.MaxAmount) {
			figures := s.seenAllowed(s.Usage[i].Amount, *l.MaxAmount)
			figures["window"] = seconds(l.Window)
			return &refusal{AmountLimitExceeded, figures}
		}
	}
	for i, l := range s.Policy.Limits {
		if l.MaxCount != nil && s.Usage[i].Count >= *l.MaxCount {
			return &refusal{CountLimitExceeded, map[string]string{
				"seen": strconv.FormatInt(s.Usage[i].Count, 10), "allowed": strconv.FormatInt(*l.MaxCount, 10),
				"window": seconds(l.Window),
			}}
		}
	}
	return nil
}

// seenAllowed are the figures of a bound.
func (s *AccountState) seenAllowed(seen, allowed decimal.Decimal) map[string]string {
	scale := s.Currency.Scale
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

// CountsForLimits reports whether what the verb pays counts for rolling limits.
func (v verb) CountsForLimits() bool { return v == verbMove || v == verbHold || v == verbExecuteDue }
