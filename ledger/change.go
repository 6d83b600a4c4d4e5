package ledger

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// AccountChange is what UpdateAccount changes; nil fields stay.
type AccountChange struct {
	ID              uuid.UUID
	DisplayName     *string
	ImageURL        *string
	Metadata        map[string]string // nil: unchanged; empty: cleared
	MinBalance      *decimal.Decimal
	MaxBalance      *decimal.NullDecimal // not valid: none from now on
	MaxTransfer     *decimal.NullDecimal // likewise
	DebitBlock      *OptionalBlock
	CreditBlock     *OptionalBlock
	Limits          *[]Limit // empty: none from now on
	Status          *AccountStatus
	ExpectedVersion *int64 // nil: any
	DryRun          bool   // report what would happen, change nothing
}

// An OptionalBlock is a block or, empty, the end of one.
type OptionalBlock struct{ *Block }

// Check returns an InvalidError for values that no account can have.
func (c *AccountChange) Check() error {
	if c.DisplayName != nil {
		if err := CheckText("account.display_name", *c.DisplayName); err != nil {
			return err
		}
	}
	if c.ImageURL != nil {
		if err := CheckText("account.image_url", *c.ImageURL); err != nil {
			return err
		}
	}
	if c.Status != nil {
		switch *c.Status {
		case AccountOpen, AccountFrozen, AccountClosed:
		default:
			return &InvalidError{Field: "account.status", Reason: "must be OPEN, FROZEN or CLOSED"}
		}
	}
	return CheckMetadata(c.Metadata)
}

// Apply makes the change on an account of the currency. equity says that it is the currency's
// equity account. A StateError says what the account's state does not allow.
func (c *AccountChange) Apply(a *Account, equity bool, currency Currency) error {
	if a.Status == AccountClosed {
		return &StateError{ID: c.ID, Reason: "ACCOUNT_CLOSED", Detail: "it is closed, for ever"}
	}
	if c.DisplayName != nil {
		a.DisplayName = *c.DisplayName
	}
	if c.ImageURL != nil {
		a.ImageURL = *c.ImageURL
	}
	if c.Metadata != nil {
		if a.Metadata = c.Metadata; len(a.Metadata) == 0 {
			a.Metadata = nil
		}
	}
	if (c.MinBalance != nil || c.Status != nil || c.bounds()) && equity {
		return &StateError{
			ID: c.ID, Reason: "EQUITY_ACCOUNT", Detail: "an equity account keeps its status and has no floor and no policy",
		}
	}
	if err := c.applyPolicy(a, currency); err != nil {
		return err
	}
	available := a.Balance.Sub(a.Held)
	if c.MinBalance != nil {
		if err := currency.CheckAmount("account.min_balance", *c.MinBalance); err != nil {
			return err
		}
		if available.LessThan(*c.MinBalance) {
			return &StateError{ID: c.ID, Reason: "INSUFFICIENT_FUNDS", Detail: fmt.Sprintf(
				"%s is available, less than the new floor %s", available.StringFixed(currency.Scale),
				c.MinBalance.StringFixed(currency.Scale))}
		}
		a.MinBalance = decimal.NewNullDecimal(*c.MinBalance)
	}
	if c.Status != nil {
		if *c.Status == AccountClosed && (!a.Balance.IsZero() || !a.Held.IsZero() || !a.Incoming.IsZero()) {
			return &StateError{ID: c.ID, Reason: "ACCOUNT_NOT_EMPTY", Detail: fmt.Sprintf(
				"only an empty account can be closed; balance %s, held %s, incoming %s",
				a.Balance.StringFixed(currency.Scale), a.Held.StringFixed(currency.Scale),
				a.Incoming.StringFixed(currency.Scale))}
		}
		a.Status = *c.Status
	}
	return nil
}

// bounds reports whether the ceiling or the policy is to change.
func (c *AccountChange) bounds() bool {
	return c.MaxBalance != nil || c.MaxTransfer != nil || c.DebitBlock != nil || c.CreditBlock != nil || c.Limits != nil
}

// applyPolicy changes the ceiling and the policy.
func (c *AccountChange) applyPolicy(a *Account, currency Currency) error {
	if !c.bounds() {
		return nil
	}
	if c.MaxBalance != nil {
		if err := currency.CheckAmount("account.max_balance", c.MaxBalance.Decimal); err != nil {
			return err
		}
		if total := a.Balance.Add(a.Incoming); c.MaxBalance.Valid && total.GreaterThan(c.MaxBalance.Decimal) {
			return &StateError{ID: c.ID, Reason: "MAX_BALANCE_EXCEEDED", Detail: fmt.Sprintf(
				"balance and incoming are %s, more than the new ceiling %s", total.StringFixed(currency.Scale),
				c.MaxBalance.Decimal.StringFixed(currency.Scale))}
		}
		a.MaxBalance = *c.MaxBalance
	}
	policy := a.Policy
	if c.MaxTransfer != nil {
		policy.MaxTransfer = nil
		if c.MaxTransfer.Valid {
			policy.MaxTransfer = &c.MaxTransfer.Decimal
		}
	}
	if c.DebitBlock != nil {
		policy.DebitBlock = c.DebitBlock.Block
	}
	if c.CreditBlock != nil {
		policy.CreditBlock = c.CreditBlock.Block
	}
	if c.Limits != nil {
		policy.Limits = *c.Limits
	}
	if err := policy.Check("account.", currency); err != nil {
		return err
	}
	a.Policy = policy
	return nil
}
