package ledger

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// AccountStatus says what an account may do.
type AccountStatus string

// The statuses of an account. CLOSED is final.
const (
	AccountOpen   AccountStatus = "OPEN"
	AccountFrozen AccountStatus = "FROZEN"
	AccountClosed AccountStatus = "CLOSED"
)

// TransferStatus is where a transfer is in its life: INIT becomes SUCCESS or FAILED, which are final.
type TransferStatus string

// The states of a transfer.
const (
	TransferInit    TransferStatus = "INIT"
	TransferSuccess TransferStatus = "SUCCESS"
	TransferFailed  TransferStatus = "FAILED"
)

// ErrorReason says why a transfer was refused. The names are those of transfers.v1.Transfer.ErrorReason.
type ErrorReason string

// The reasons, in the order in which they are looked for: when several apply, the first is given.
const (
	FromAccountNotFound ErrorReason = "FROM_ACCOUNT_NOT_FOUND"
	ToAccountNotFound   ErrorReason = "TO_ACCOUNT_NOT_FOUND"
	CurrencyMismatch    ErrorReason = "CURRENCY_MISMATCH"
	ReasonAccountClosed ErrorReason = "ACCOUNT_CLOSED"
	ReasonAccountFrozen ErrorReason = "ACCOUNT_FROZEN"
	InsufficientFunds   ErrorReason = "INSUFFICIENT_FUNDS"
	GroupFailed         ErrorReason = "GROUP_FAILED"
)

// A Currency is a code and the number of decimals of its amounts. Neither ever changes.
type Currency struct {
	Code            string
	Scale           int32 // decimals, 0 to 18
	EquityAccountID uuid.UUID
	CreateTime      time.Time
}

// An Account holds a balance in one currency.
type Account struct {
	ID          uuid.UUID
	Currency    string
	Scale       int32 // of the currency, so that amounts can be printed
	Balance     decimal.Decimal
	Held        decimal.Decimal     // the sum of open holds on the account
	Incoming    decimal.Decimal     // the sum of open holds towards the account
	MinBalance  decimal.NullDecimal // the floor of Balance - Held; not valid: none
	Status      AccountStatus
	DisplayName string
	ImageURL    string
	Metadata    map[string]string
	Version     int64
	CreateTime  time.Time
	UpdateTime  time.Time
}

// Available is the balance less the holds on it.
func (a *Account) Available() decimal.Decimal { return a.Balance.Sub(a.Held) }

// AccountParams is what an account is opened with.
type AccountParams struct {
	ID             uuid.UUID // the idempotency key; uuid.Nil: a version 7 id is made
	Currency       string    // empty: USD
	InitialBalance decimal.Decimal
	MinBalance     decimal.Decimal
	DisplayName    string
	ImageURL       string
	Metadata       map[string]string
}

// AccountChange names what UpdateAccount changes; what is nil stays.
type AccountChange struct {
	ID              uuid.UUID
	DisplayName     *string
	ImageURL        *string
	Metadata        map[string]string // nil: unchanged; empty: cleared
	MinBalance      *decimal.Decimal
	Status          *AccountStatus
	ExpectedVersion *int64 // nil: any
}

// TransferParams is what a transfer is asked for with.
type TransferParams struct {
	ID        uuid.UUID // the idempotency key; uuid.Nil: a version 7 id is made
	From, To  uuid.UUID // must differ
	Amount    decimal.Decimal
	Currency  string // empty: whatever both accounts have
	Reference string
	Metadata  map[string]string
}

// A Transfer is the record of money moved, or of a refusal.
type Transfer struct {
	ID          uuid.UUID
	From, To    uuid.UUID
	Amount      decimal.Decimal
	Currency    string // empty when it was refused for want of both accounts and none was asked for
	Scale       int32  // of the currency, so that amounts can be printed; amounts of a refused transfer may have more decimals
	Status      TransferStatus
	Reason      ErrorReason         // empty unless FAILED
	FromBalance decimal.NullDecimal // right after the decision; not valid: no such account
	ToBalance   decimal.NullDecimal
	Reference   string
	Metadata    map[string]string
	CreateTime  time.Time
	UpdateTime  time.Time
	Version     int64
}

// An Outcome is what became of one transfer of a batch: either Err is nil and Transfer is the record, SUCCESS or
// FAILED, or Err says why it never became a transfer.
type Outcome struct {
	Transfer Transfer
	Replayed bool // the stored outcome of an earlier call
	Err      error
}

// An Entry is one side of a transfer that succeeded.
type Entry struct {
	AccountID    uuid.UUID
	Sequence     int64 // 1, 2, 3, … within the account
	TransferID   uuid.UUID
	Counterparty uuid.UUID
	Amount       decimal.Decimal // negative: money left the account
	Balance      decimal.Decimal // right after
	Currency     string
	Scale        int32
	Reference    string
	CreateTime   time.Time
}

// A Page says which part of a list is wanted.
type Page struct {
	Size  int32  // 1 to 1,000; 0: 50
	Token string // of the page before; empty: the first page
}

// AccountFilter narrows ListAccounts; zero fields match everything.
type AccountFilter struct {
	Currency string
	Status   AccountStatus
}

// TransferFilter narrows ListTransfers; zero fields match everything.
type TransferFilter struct {
	AccountID uuid.UUID // as payer or payee
	Status    TransferStatus
	Currency  string
	Reference string
	Start     time.Time // inclusive
	End       time.Time // exclusive
}

// EntryFilter chooses the entries of ListEntries.
type EntryFilter struct {
	AccountID   uuid.UUID
	OldestFirst bool
	Start       time.Time // inclusive; zero: from the beginning
	End         time.Time // exclusive; zero: to the end
}

// A Report is what Check found.
type Report struct {
	Time       time.Time // of the snapshot, by the database's clock
	Invariants []Invariant
}

// OK reports whether every invariant holds.
func (r *Report) OK() bool {
	for i := range r.Invariants {
		if r.Invariants[i].ViolationCount > 0 {
			return false
		}
	}
	return true
}

// An Invariant is a sentence that is true of every ledger, and what was found.
type Invariant struct {
	Name           string
	Description    string
	Examined       int64    // rows
	ViolationCount int64    // rows that break it
	Violations     []string // the first of them, at most 10
}

// String is one line with the invariant's figures.
func (i *Invariant) String() string {
	return fmt.Sprintf("%s: %d examined, %d violations %v", i.Name, i.Examined, i.ViolationCount, i.Violations)
}
